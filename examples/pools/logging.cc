// SPDX-License-Identifier: Apache-2.0
//
// A child process logs to the same place as its parent: lines with level and process name, turned
// on by one call. Here on standard output, between the lines that the child prints.

#include <unistd.h>

#include <iostream>

#include "sluice/pool/log.h"
#include "sluice/pool/process.h"

int main() {
  sluice::Logger& log = sluice::log_to(STDOUT_FILENO);
  log.debug("below the level: not written");
  log.info("starting a child");
  sluice::Process child("Process-1", [&] {
    sluice::set_log_process_name("Process-1");
    log.info("child process runs its callable");
    std::cout << "Doing some work" << std::endl;
    log.warning("process shutting down after ", 1, " piece of work");
  });
  child.join();
  log.info("child process exited with ", *child.exit_code());
}
