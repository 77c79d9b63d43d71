// SPDX-License-Identifier: Apache-2.0
//
// Where the inputs of a fuzz target lie, from the top of the tree. Each target says so, for
// corpus_test.cc, which replays them.

#ifndef SLUICE_FUZZ_CORPUS_H_
#define SLUICE_FUZZ_CORPUS_H_

namespace sluice::fuzz {

extern const char* const kCorpus;

}  // namespace sluice::fuzz

#endif  // SLUICE_FUZZ_CORPUS_H_
