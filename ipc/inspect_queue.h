// SPDX-License-Identifier: Apache-2.0
//
// The part of the inspector (ipc/inspect.h) that knows queues (ipc/queue.h). Internal.
//
//   describe_queue(domain, fd, object);    // adds its counters, owners, sleepers and faults
//
// Threads and processes: reads a private copy of the queue's words; what is written meanwhile may
// not fit together. If a process dies here: it only reads. Cost: one read, and a question to the
// kernel per producer.

#ifndef SLUICE_IPC_INSPECT_QUEUE_H_
#define SLUICE_IPC_INSPECT_QUEUE_H_

#include "sluice/ipc/inspect.h"
#include "sluice/sync/domain.h"

namespace sluice::internal {

void describe_queue(Domain& domain, int fd, ObjectInfo& object);

}  // namespace sluice::internal

#endif  // SLUICE_IPC_INSPECT_QUEUE_H_
