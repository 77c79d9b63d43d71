// SPDX-License-Identifier: Apache-2.0
//
// Five ways for a process to end, and the exit codes that their parent sees. What a callable
// returns is none; an uncaught exception is told on standard error.

#include <chrono>
#include <iostream>
#include <list>
#include <stdexcept>
#include <thread>

#include "sluice/pool/exit.h"
#include "sluice/pool/process.h"

int main() {
  using sluice::Process;
  std::list<Process> processes;
  processes.emplace_back("exit_error", [] { sluice::exit(1); });
  processes.emplace_back("exit_ok", [] { sluice::exit(); });
  processes.emplace_back("return_value", [] { return 1; });
  processes.emplace_back("raises", [] { throw std::runtime_error("There was an error!"); });
  processes.emplace_back("terminated",
                         [] { std::this_thread::sleep_for(std::chrono::seconds(100)); });
  processes.back().terminate();
  for (Process& process : processes) {
    process.join();
    std::cout << process.name() << ".exit_code = " << process.exit_code().value() << '\n';
  }
}
