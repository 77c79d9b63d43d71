// SPDX-License-Identifier: Apache-2.0
//
// Three processes need a table that is to be built once. The first to come is killed while it
// builds; the next begins again, and the others wait for that.

#include "sluice/sync/once.h"

#include <sys/mman.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <new>

#include "sluice/pool/process.h"

struct Table {
  sluice::Once built;
  int begun, ended, squares[100];

  void build(bool dies) {
    ++begun;
    for (int i = 0; i < 100; ++i) {
      if (dies && i == 50) raise(SIGKILL);
      squares[i] = i * i;
    }
    ++ended;
  }
};

int main() {
  void* memory =
      mmap(nullptr, sizeof(Table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return EXIT_FAILURE;
  Table& table = *new (memory) Table{};

  sluice::Process first("first", [&] { table.built.call([&] { table.build(true); }); });
  first.join();
  const auto use = [&] {
    table.built.call([&] { table.build(false); });
    if (table.squares[99] != 9801) std::abort();
  };
  std::array others = {sluice::Process("second", use), sluice::Process("third", use)};
  for (sluice::Process& other : others) other.join();
  std::cout << "the first ended with " << first.exit_code().value_or(0) << '\n'
            << "begun " << table.begun << " times, ended " << table.ended << " time\n"
            << table.built << '\n';
  for (const sluice::Process& other : others) {
    if (other.exit_code() != 0) return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
