// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/log_queue.h"

#include <chrono>

#include "sluice/ipc/queue_options.h"
#include "sluice/pool/uncaught.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/process_state.h"
#include "sluice/sync/status.h"

namespace sluice {
namespace {

constexpr std::chrono::milliseconds kAskAfterParent{100};

}  // namespace

LogQueue::LogQueue(std::size_t records, WhenFull when_full)
    : queue_({records, records * kBytesPerRecord},
             {.overflow = when_full == WhenFull::drop ? Overflow::drop_newest : Overflow::block}),
      process_(internal::process_mark()),
      maker_(participant::self()),
      before_(log_sink()),
      thread_("sluice-logs", [this] { collect(); }) {
  set_log_sink(this);  // last: others may be logging
}

LogQueue::~LogQueue() {
  if (process_ != internal::process_mark()) return;
  set_log_sink(before_);
  internal::run_reporting("the end of a LogQueue", [this] { queue_.close(); });
  thread_.finish();
}

void LogQueue::take(const LogRecord& record) {
  if (process_ == internal::process_mark() || orphaned_.is_set()) return write(record);
  Status status = queue_.push(record, kAskAfterParent);
  while (status == Status::timeout && participant::probe(maker_) != Liveness::dead) {
    status = queue_.push(record, kAskAfterParent);
  }
  if (status == Status::timeout) orphaned_.set();
  if (status != Status::ok) write(record);
}

void LogQueue::write(const LogRecord& record) {
  if (before_ != nullptr) {
    before_->take(record);
  } else {
    write_log_line(record);
  }
}

void LogQueue::collect() {
  for (LogRecord record;;) {
    const Status status = queue_.pop(record);
    if (status == Status::ok) {
      internal::run_reporting("a sink of log records", [&] { write(record); });
    } else if (status != Status::corrupt || queue_.skip() != Status::ok) {
      return;  // it has ended
    }
  }
}

}  // namespace sluice
