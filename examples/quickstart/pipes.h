// SPDX-License-Identifier: Apache-2.0
//
// All pipes of the service, and who keeps which ends. Made before the processes start; each process
// inherits a copy and calls keep_...() once, which hands over that process's ends and closes its
// copies of the others.

#ifndef SLUICE_EXAMPLES_QUICKSTART_PIPES_H_
#define SLUICE_EXAMPLES_QUICKSTART_PIPES_H_

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "sluice/examples/quickstart/producer.h"
#include "sluice/examples/quickstart/wire.h"
#include "sluice/ipc/pipe.h"

namespace quickstart {

struct ParserEnds {
  sluice::Receiver batches;
  sluice::Sender results;
};

struct ParentEnds {
  std::vector<sluice::Receiver> results;  // one per parser
  sluice::Sender notices;
  sluice::Receiver news;
};

class Pipes {
 public:
  explicit Pipes(std::size_t parsers)
      : rest_(Rest{
            .notices =
                sluice::Pipe::create(capacity_for(parsers * (kBatchesAhead + 1), sizeof(Notice))),
            .news = sluice::Pipe::create(capacity_for(parsers + 1, sizeof(News)) + kTextBytes)}) {
    for (std::size_t i = 0; i < parsers; ++i) {
      batches_.push_back(sluice::Pipe::create(capacity_for(kBatchesAhead, sizeof(Batch))));
      results_.push_back(sluice::Pipe::create(capacity_for(kBatchesAhead, sizeof(Result))));
    }
  }

  ProducerEnds keep_producers() {
    ProducerEnds ends{{}, std::move(rest_->notices.receiver), std::move(rest_->news.sender)};
    for (auto& pipe : batches_) ends.batches.push_back(std::move(pipe.sender));
    close_rest();
    return ends;
  }

  ParserEnds keep_parsers(std::size_t parser) {
    ParserEnds ends{std::move(batches_[parser].receiver), std::move(results_[parser].sender)};
    close_rest();
    return ends;
  }

  ParentEnds keep_parents() {
    ParentEnds ends{{}, std::move(rest_->notices.sender), std::move(rest_->news.receiver)};
    for (auto& pipe : results_) ends.results.push_back(std::move(pipe.receiver));
    close_rest();
    return ends;
  }

 private:
  /// Room for the producer's last words.
  static constexpr std::size_t kTextBytes = 64 << 10;

  struct Rest {
    sluice::Pipe notices;
    sluice::Pipe news;
  };

  void close_rest() {
    batches_.clear();
    results_.clear();
    rest_.reset();
  }

  std::vector<sluice::Pipe> batches_;  // producer to parser
  std::vector<sluice::Pipe> results_;  // parser to parent
  std::optional<Rest> rest_;
};

}  // namespace quickstart

#endif  // SLUICE_EXAMPLES_QUICKSTART_PIPES_H_
