// SPDX-License-Identifier: Apache-2.0
//
// Our queues as the testkit's subjects, for queue_calls_fuzz.cc, queue_memory_fuzz.cc and the maker
// of their corpora. In two sources, as each queue is a large template.
//
//   byte 0        which queue, modulo kQueueSubjects
//   then          an input of the kit (testkit/fuzz_input.h): a capacity, and the calls

#ifndef SLUICE_FUZZ_QUEUE_SUBJECTS_H_
#define SLUICE_FUZZ_QUEUE_SUBJECTS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sluice/testkit/queue_fuzz.h"

namespace sluice::fuzz {

/// What the kit does with an input, given a queue: 0, or it aborts.
struct QueueSubject {
  using Fuzz = int (*)(const std::uint8_t* data, std::size_t size);

  std::string_view name;
  Fuzz calls;
  Fuzz memory;
};

template <template <class> class Adapter>
constexpr QueueSubject queue_subject_of(std::string_view name) {
  return {name, testkit::fuzz_calls<Adapter>, testkit::fuzz_memory<Adapter>};
}

/// Without locks: Queue as a ring, MpmcRing, SpscRing.
extern const std::array<QueueSubject, 3> kRingSubjects;
/// Under locks: Queue of records, LifoQueue, PriorityQueue, Deque, JoinableQueue.
extern const std::array<QueueSubject, 5> kLockedSubjects;

inline constexpr std::size_t kQueueSubjects = 8;
inline constexpr std::size_t kQueueSubjectHeader = 1;

inline const QueueSubject& queue_subject(std::size_t which) {
  which %= kQueueSubjects;
  const std::size_t rings = kRingSubjects.size();
  return which < rings ? kRingSubjects[which] : kLockedSubjects[which - rings];
}

}  // namespace sluice::fuzz

#endif  // SLUICE_FUZZ_QUEUE_SUBJECTS_H_
