// SPDX-License-Identifier: Apache-2.0

#include "sluice/examples/quickstart/parser.h"

#include <signal.h>
#include <unistd.h>

#include <memory>

#include "sluice/examples/quickstart/count.h"
#include "sluice/examples/quickstart/wire.h"
#include "sluice/sync/status.h"

namespace quickstart {
namespace {

/// For --kill-one: parses half of the batch, then dies. From the parser's own hand, since that hits
/// the very middle of a batch; a process can't tell, or do anything about, who sends a SIGKILL.
[[noreturn]] void die_half_way(const Batch& batch, Counts& counts) {
  count(batch.text().substr(0, batch.size / 2), counts);
  for (;;) ::kill(::getpid(), SIGKILL);
}

}  // namespace

void run_parser(sluice::Receiver batches, sluice::Sender results) {
  const auto batch = std::make_unique<Batch>();
  const auto result = std::make_unique<Result>();
  Counts counts;
  while (recv_used(batches, *batch) == sluice::Status::ok) {
    result->taken_ns = now_ns();
    result->number = batch->number;
    result->sent_ns = batch->sent_ns;
    if (batch->kill_parser) die_half_way(*batch, counts);
    count(batch->text(), counts);
    counts.lines += batch->has_open_line;
    encode(counts, *result);
    if (send_used(results, *result) != sluice::Status::ok) return;
    counts.lines = counts.bytes = counts.words = 0;
    counts.table.clear();
  }
}

}  // namespace quickstart
