// SPDX-License-Identifier: Apache-2.0

#include <array>

#include "sluice/fuzz/queue_subjects.h"
#include "sluice/testkit/subjects/ipc_subjects.h"
#include "sluice/testkit/subjects/lockfree_subjects.h"

namespace sluice::fuzz {

constinit const std::array<QueueSubject, 3> kRingSubjects = {
    queue_subject_of<testkit::QueueSubject>("queue"),
    queue_subject_of<testkit::MpmcRingSubject>("mpmc_ring"),
    queue_subject_of<testkit::SpscRingSubject>("spsc_ring"),
};

}  // namespace sluice::fuzz
