// SPDX-License-Identifier: Apache-2.0
//
// One call turns the library's log on: what its processes do is told in lines with level and
// process name, here on standard output, between the lines that the child prints. Records of one's
// own go the same way.

#include <unistd.h>

#include <iostream>

#include "sluice/pool/log.h"
#include "sluice/pool/process.h"

int main() {
  sluice::Logger& log = sluice::log_to(STDOUT_FILENO);
  log.debug("below the level: not written");
  sluice::Process worker([&log] {
    std::cout << "Doing some work\n" << std::flush;
    log.warning("that was ", 1, " piece of work");
  });
  worker.join();
  log.info("the child exited with ", *worker.exit_code());
}
