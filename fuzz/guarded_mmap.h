// SPDX-License-Identifier: Apache-2.0
//
// Which shared mappings there are, of those that guarded_mmap.cc has made: for a target that ends
// what the code under test keeps until the process dies.

#ifndef SLUICE_FUZZ_GUARDED_MMAP_H_
#define SLUICE_FUZZ_GUARDED_MMAP_H_

#include <cstddef>
#include <map>

namespace sluice::fuzz {

/// Start of each, and its size in whole pages. Ended with munmap(2).
[[nodiscard]] std::map<void*, std::size_t> guarded_mappings();

}  // namespace sluice::fuzz

#endif  // SLUICE_FUZZ_GUARDED_MMAP_H_
