// SPDX-License-Identifier: Apache-2.0
//
// LogQueue: brings what forked children log to one place, their parent's sink, through a queue in
// shared memory. Not needed for lines on a descriptor that all processes share: those don't mix
// (pool/log.h).
//
//   log_to_stderr();
//   LogQueue logs(1024);                        // before the children are started
//   Process worker([] { get_logger().info("at work"); });   // its records go to the parent
//   ...                                         // logs: destroyed after the children have ended
//   if (logs.dropped() != 0) std::cerr << logs.dropped() << " records were lost\n";
//
// In memory: a Queue<LogRecord> (ipc/queue.h), bounded in items and bytes, and a thread
// "sluice-logs" in the process that made it, which writes the records to the sink that was set
// before.
//
// Units: records, bytes. Errors: the constructor throws what the queue's does, and Error where no
// thread can be started. A record that is too large for the queue, or comes after its end, is
// written by the child itself.
//
// Threads and processes: all calls may overlap, but for destroying; the parent's own records go
// past the queue. One at a time per process tree.
//
// If a process dies here: a child killed while it logs has logged the record or not, and holds up
// nobody. If the parent dies, what is in the queue is lost; children that wait for room notice
// within a tenth of a second, and from then on write for themselves.
//
// Cost: a record is encoded into shared memory; nobody is waited for, unless that was asked for.

#ifndef SLUICE_POOL_LOG_QUEUE_H_
#define SLUICE_POOL_LOG_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <ostream>

#include "sluice/ipc/queue.h"
#include "sluice/pool/log.h"
#include "sluice/pool/log_record.h"
#include "sluice/pool/own_thread.h"
#include "sluice/sync/event.h"
#include "sluice/sync/participant.h"

namespace sluice {

/// What a child does whose record finds no room.
enum class WhenFull : std::uint8_t {
  drop,   ///< counts it in dropped()
  block,  ///< waits
};

/// The sink, as long as it lives, that brings the records of forked children to the process that
/// made it.
class LogQueue final : public LogSink {
 public:
  static constexpr std::size_t kBytesPerRecord = 512;  ///< of the queue's memory, on average

  /// For `records` records, of kBytesPerRecord on average. Becomes the sink.
  explicit LogQueue(std::size_t records = 1024, WhenFull when_full = WhenFull::drop);
  /// Ends the queue, has written what is in it, and sets the sink from before. In a forked child:
  /// nothing.
  ~LogQueue() override;

  /// In a child, puts the record into the queue; if that is full, drops it or waits, as was chosen.
  /// In the process that made this, hands it to the sink from before.
  void take(const LogRecord& record) override;

  /// Records of all children that found no room, since the beginning.
  [[nodiscard]] std::uint64_t dropped() const { return queue_.dropped(); }

  friend std::ostream& operator<<(std::ostream& out, const LogQueue& logs) {
    return out << "LogQueue: " << logs.queue_.size() << " records to be written, " << logs.dropped()
               << " dropped";
  }

 private:
  void write(const LogRecord& record);
  void collect();

  Queue<LogRecord> queue_;
  std::uint64_t process_;
  Tag maker_;
  Event orphaned_;  ///< of this process: its parent is dead
  LogSink* before_;
  internal::OwnThread thread_;
};

}  // namespace sluice

#endif  // SLUICE_POOL_LOG_QUEUE_H_
