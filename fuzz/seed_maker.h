// SPDX-License-Identifier: Apache-2.0
//
// What the makers of corpora have in common: their main().
//
// If a process dies here: some files of the corpus are not written.

#ifndef SLUICE_FUZZ_SEED_MAKER_H_
#define SLUICE_FUZZ_SEED_MAKER_H_

#include <cstddef>
#include <exception>
#include <iostream>
#include <utility>

namespace sluice::fuzz {

/// Calls `make` with each argument of the program, of which there must be as many as it takes: an
/// exit code, and what is wrong on standard error.
template <class... Directory>
int make_seeds(int argc, char** argv, void (*make)(Directory...)) {
  constexpr int kWanted = sizeof...(Directory);
  if (argc != 1 + kWanted) {
    std::cerr << "usage: " << argv[0] << (kWanted == 1 ? " DIRECTORY\n" : " DIRECTORY...\n");
    return 2;
  }
  try {
    [&]<std::size_t... kIndex>(std::index_sequence<kIndex...>) {
      make(argv[1 + kIndex]...);
    }(std::index_sequence_for<Directory...>());
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
  return 0;
}

}  // namespace sluice::fuzz

#endif  // SLUICE_FUZZ_SEED_MAKER_H_
