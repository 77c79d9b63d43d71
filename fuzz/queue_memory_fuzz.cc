// SPDX-License-Identifier: Apache-2.0
//
// Calls our queues while somebody without rules writes into their memory, as the testkit does it to
// anybody's: each call returns, or throws; none crashes, hangs, touches memory outside of the
// queue's (guarded_mmap.cc), or tells of more items than it was given. queue_fuzz.cc looks closer,
// at Queue alone.
//
//   ./bazelw test //fuzz:queue_memory_corpus_test                  # the corpus, with any compiler
//   ./bazelw run --config=fuzz //fuzz:queue_memory_fuzz -- -max_len=512
//   $PWD/fuzz/corpus/queue_memory
//
// The format of an input is in queue_subjects.h; queue_subjects_seeds.cc makes the corpus.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "sluice/fuzz/corpus.h"
#include "sluice/fuzz/queue_subjects.h"

namespace sluice::fuzz {

const char* const kCorpus = "fuzz/corpus/queue_memory";

namespace {

/// Of what the kit is given. A call may look at 65,536 cells of a ring whose words are wrong, or
/// for 2 s at a lock that is held.
constexpr std::size_t kLargest = 512;

}  // namespace
}  // namespace sluice::fuzz

// libFuzzer's names and signatures.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::fuzz;
  if (size < kQueueSubjectHeader) return 0;
  return queue_subject(data[0]).memory(data + kQueueSubjectHeader,
                                       std::min(size - kQueueSubjectHeader, kLargest));
}
