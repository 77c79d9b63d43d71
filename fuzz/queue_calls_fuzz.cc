// SPDX-License-Identifier: Apache-2.0
//
// Runs programs of calls, single-threaded, on our queues, beside the testkit's model: each call
// must give what the model allows, and what is left at the end comes out. A queue that does
// otherwise is printed with the program.
//
//   ./bazelw test //fuzz:queue_calls_corpus_test                   # the corpus, with any compiler
//   ./bazelw run --config=fuzz //fuzz:queue_calls_fuzz -- -max_len=256 $PWD/fuzz/corpus/queue_calls
//
// The format of an input is in queue_subjects.h; queue_subjects_seeds.cc makes the corpus.

#include <cstddef>
#include <cstdint>

#include "sluice/fuzz/corpus.h"
#include "sluice/fuzz/queue_subjects.h"

namespace sluice::fuzz {

const char* const kCorpus = "fuzz/corpus/queue_calls";

}  // namespace sluice::fuzz

// libFuzzer's names and signatures.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::fuzz;
  if (size < kQueueSubjectHeader) return 0;
  return queue_subject(data[0]).calls(data + kQueueSubjectHeader, size - kQueueSubjectHeader);
}
