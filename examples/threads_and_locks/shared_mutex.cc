// SPDX-License-Identifier: Apache-2.0
//
// Three processes read a table under a SharedMutex. One is killed while it reads. The others read
// on, and a writer, which would wait for ever for a reader that is only counted, gets in.

#include "sluice/sync/shared_mutex.h"

#include <sys/mman.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <new>
#include <shared_mutex>

#include "sluice/pool/process.h"

struct Table {
  sluice::SharedMutex<> mutex;
  long from, to;                // equal, but while somebody writes
  std::atomic<bool> rewritten;  // ends the readers
  std::atomic<long> torn;

  void read(bool dies) {
    const std::shared_lock hold(mutex);
    if (dies) raise(SIGKILL);
    if (from != to) ++torn;
  }
};

int main() {
  void* memory =
      mmap(nullptr, sizeof(Table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return EXIT_FAILURE;
  Table& table = *new (memory) Table();

  const auto read_on = [&] {
    while (!table.rewritten) table.read(false);
  };
  sluice::Process first("first", read_on);
  sluice::Process second("second", read_on);
  sluice::Process mortal("mortal", [&] { table.read(true); });
  mortal.join();

  {
    const std::unique_lock hold(table.mutex);
    ++table.from;
    ++table.to;
  }
  table.rewritten = true;
  first.join();
  second.join();
  std::cout << "a reader ended with " << mortal.exit_code().value_or(0) << '\n'
            << "the table was rewritten " << table.to << " time\n"
            << "torn reads: " << table.torn << '\n';
  return table.torn == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
