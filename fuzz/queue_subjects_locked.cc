// SPDX-License-Identifier: Apache-2.0

#include <array>

#include "sluice/fuzz/queue_subjects.h"
#include "sluice/testkit/subjects/ipc_subjects.h"

namespace sluice::fuzz {

constinit const std::array<QueueSubject, 5> kLockedSubjects = {
    queue_subject_of<testkit::RecordQueueSubject>("records"),
    queue_subject_of<testkit::LifoQueueSubject>("lifo"),
    queue_subject_of<testkit::PriorityQueueSubject>("priority"),
    queue_subject_of<testkit::DequeSubject>("deque"),
    queue_subject_of<testkit::JoinableQueueSubject>("joinable"),
};

}  // namespace sluice::fuzz
