// SPDX-License-Identifier: Apache-2.0

#include "sluice/examples/quickstart/producer.h"

#include <algorithm>
#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "sluice/examples/quickstart/batches.h"
#include "sluice/examples/quickstart/wire.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/status.h"

namespace quickstart {
namespace {

using sluice::Deadline;
using sluice::Status;
using Clock = std::chrono::steady_clock;
using BatchPtr = std::unique_ptr<Batch>;

/// The parser that --kill-one is about.
constexpr std::size_t kVictim = 0;

/// What the producer knows of one parser.
struct Customer {
  bool alive = true;
  std::uint64_t sent = 0;           // batches, of which
  std::deque<BatchPtr> unanswered;  // these have no result yet, in the order in which it gets them

  [[nodiscard]] bool has_room() const { return alive && unanswered.size() < kBatchesAhead; }
};

class Producer {
 public:
  Producer(const Input& input, const ProducerPlan& plan, ProducerEnds& ends)
      : plan_(plan), ends_(ends), reader_(input), parsers_(ends.batches.size()) {}

  /// All waiting is done here, for the next notice: at most until it is time to send.
  void run() {
    next_ = reader_.next();
    after_next_ = reader_.next();
    started_ = due_ = Clock::now();
    for (;;) {
      while (take_notice(ends_.notices.try_recv(notice_))) {
      }
      if (next_ == nullptr && unfinished() == 0) break;
      check_somebody_lives();
      const Deadline next_try = send_something();
      if (!next_try.is_now()) take_notice(ends_.notices.recv(notice_, next_try));
    }
    report({News::Kind::finished, 0, batches_, 0, 0});
  }

 private:
  /// Sends one batch if there is one, a parser has room, and it is time; says until when to wait
  /// for a notice before trying again.
  Deadline send_something() {
    if (!again_.empty()) {
      Customer* const parser = least_busy();
      if (parser == nullptr) return Deadline::never();
      send(*parser, std::move(again_.front()));
      again_.pop_front();
      return Deadline::now();
    }
    Customer* const parser = next_ != nullptr ? parser_for_next() : nullptr;
    if (parser == nullptr) return Deadline::never();
    if (plan_.between_batches.count() > 0 && Clock::now() < due_) return due_;
    send_next(*parser);
    return Deadline::now();
  }

  void send_next(Customer& parser) {
    if (&parser == &parsers_[kVictim] && kill_at_) {
      next_->kill_parser = parser.sent + 1 >= *kill_at_ || after_next_ == nullptr;
      if (next_->kill_parser) kill_at_.reset();
    }
    send(parser, std::move(next_));
    ++batches_;
    due_ += plan_.between_batches;
    next_ = std::move(after_next_);
    if (due_ - started_ >= plan_.at_most) next_.reset();
    if (next_ != nullptr) after_next_ = reader_.next();
  }

  void send(Customer& parser, BatchPtr batch) {
    batch->sent_ns = now_ns();
    const auto index = static_cast<std::size_t>(&parser - parsers_.data());
    const Status status = send_used(ends_.batches[index], *batch);
    // Nothing to do about a parser that has died: the parent is about to tell, and then the batch
    // is sent to another one.
    if (status != Status::ok && status != Status::closed && status != Status::peer_died) {
      throw std::runtime_error("cannot send to a parser: " + std::string(to_string(status)));
    }
    ++parser.sent;
    parser.unanswered.push_back(std::move(batch));
  }

  /// The living parser that has least to do, if it may be given more.
  Customer* least_busy() {
    Customer* best = nullptr;
    for (Customer& parser : parsers_) {
      if (!parser.has_room()) continue;
      if (best == nullptr || parser.unanswered.size() < best->unanswered.size()) best = &parser;
    }
    return best;
  }

  /// As least_busy(). But if somebody is yet to be killed, it gets the last batch.
  Customer* parser_for_next() {
    Customer& victim = parsers_[kVictim];
    if (!kill_at_ || after_next_ != nullptr || !victim.alive) return least_busy();
    return victim.has_room() ? &victim : nullptr;
  }

  /// Acts upon notice_ if `received` is ok; false if there was none. Throws if there will be none.
  bool take_notice(Status received) {
    if (received == Status::empty || received == Status::timeout) return false;
    if (received != Status::ok) throw std::runtime_error("the parent has ended");
    if (notice_.parser >= parsers_.size()) throw std::runtime_error("a notice of nobody");
    Customer& parser = parsers_[notice_.parser];
    if (notice_.kind == Notice::Kind::answered) {
      std::erase_if(parser.unanswered, [&](const auto& b) { return b->number == notice_.batch; });
    } else {
      lose(parser);
    }
    return true;
  }

  /// What a dead parser had not answered goes to the others, and the parent is told.
  void lose(Customer& parser) {
    parser.alive = false;
    News loss = {.kind = News::Kind::loss,
                 .parser = notice_.parser,
                 .batches = parser.unanswered.size(),
                 .first = 0,
                 .ordinal = parser.sent - parser.unanswered.size() + 1};
    if (!parser.unanswered.empty()) loss.first = parser.unanswered.front()->number;
    for (BatchPtr& batch : parser.unanswered) {
      batch->kill_parser = false;
      again_.push_back(std::move(batch));
    }
    parser.unanswered.clear();
    report(loss);
  }

  /// If the parent has ended, the next look for a notice says so.
  void report(const News& news) { static_cast<void>(ends_.news.send(news)); }

  /// Batches that have been sent and have no result.
  [[nodiscard]] std::size_t unfinished() const {
    return std::accumulate(
        parsers_.begin(), parsers_.end(), again_.size(),
        [](std::size_t sum, const Customer& p) { return sum + p.unanswered.size(); });
  }

  void check_somebody_lives() const {
    if (std::any_of(parsers_.begin(), parsers_.end(), [](const auto& p) { return p.alive; }))
      return;
    std::ostringstream text;
    text << "no parser is left (there were " << parsers_.size() << "): " << unfinished()
         << " batches that were sent have no result" << (next_ ? ", and there is more input" : "");
    throw std::runtime_error(text.str());
  }

  const ProducerPlan& plan_;
  ProducerEnds& ends_;
  BatchReader reader_;
  BatchPtr next_;
  BatchPtr after_next_;  // tells whether next_ is the last
  std::deque<BatchPtr> again_;
  std::uint64_t batches_ = 0;  // sent, each counted once
  std::vector<Customer> parsers_;
  std::optional<std::uint64_t> kill_at_ = plan_.kill_at;
  Clock::time_point started_;
  Clock::time_point due_;
  Notice notice_ = {};
};

}  // namespace

void run_producer(const Input& input, const ProducerPlan& plan, ProducerEnds ends) {
  try {
    Producer(input, plan, ends).run();
  } catch (const std::exception& e) {
    // If this can't be sent, nobody is left to read it.
    static_cast<void>(ends.news.send(std::string_view(e.what())));
  }
}

}  // namespace quickstart
