// SPDX-License-Identifier: Apache-2.0

#include "sluice/examples/quickstart/service.h"

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <mutex>
#include <sstream>
#include <string_view>
#include <thread>
#include <utility>

#include "sluice/examples/quickstart/parser.h"
#include "sluice/examples/quickstart/pipes.h"
#include "sluice/examples/quickstart/wire.h"
#include "sluice/ipc/pipe.h"
#include "sluice/pool/process.h"
#include "sluice/sync/status.h"

namespace quickstart {
namespace {

using sluice::Process;
using sluice::Receiver;
using sluice::Sender;
using sluice::Status;

/// Which batches have their result; tells the producer. One per run, used by all reading threads.
class Ledger {
 public:
  Ledger(Sender notices, unsigned parsers)
      : notices_(std::move(notices)), now_{.bytes = 0, .lines = 0, .parsers = parsers} {}

  /// True for the first result of its batch: that one counts.
  bool accept(std::uint32_t parser, const Result& result) {
    const std::lock_guard lock(mutex_);
    tell({Notice::Kind::answered, parser, result.number});
    if (result.number >= answered_.size()) answered_.resize(result.number + 1);
    if (answered_[result.number]) return false;
    answered_[result.number] = true;
    now_.bytes += result.bytes;
    now_.lines += result.lines;
    return true;
  }

  void parser_ended(std::uint32_t parser) {
    const std::lock_guard lock(mutex_);
    tell({Notice::Kind::parser_ended, parser, 0});
    --now_.parsers;
  }

  [[nodiscard]] Progress progress() const {
    const std::lock_guard lock(mutex_);
    return now_;
  }

  /// Gives up: the producer ends, then the parsers, whose pipes it closes, then the reading
  /// threads.
  void close() { notices_.close(); }

 private:
  void tell(const Notice& notice) {
    // Nothing to do if the producer has ended: whoever waits for its news learns of it.
    static_cast<void>(notices_.send(notice));
  }

  mutable std::mutex mutex_;  // guards all below, but for closing the pipe, which anybody may
  Sender notices_;
  Progress now_;
  std::vector<bool> answered_;
};

/// What one reading thread has gathered from its parser.
struct Gathered {
  Counts counts;
  std::vector<std::int64_t> waits_ns;
  std::uint64_t second_results = 0;
  bool nonsense = false;
  std::int64_t first_sent_ns = std::numeric_limits<std::int64_t>::max();
  std::int64_t last_result_ns = std::numeric_limits<std::int64_t>::min();
};

/// The body of a reading thread: all results of one parser, until it ends.
void gather(Receiver& results, std::uint32_t parser, Ledger& ledger, Gathered& gathered) {
  const auto result = std::make_unique<Result>();
  while (recv_used(results, *result) == Status::ok) {
    if (!ledger.accept(parser, *result)) {
      ++gathered.second_results;
      continue;
    }
    gathered.nonsense |= !decode(*result, gathered.counts);
    gathered.waits_ns.push_back(result->taken_ns - result->sent_ns);
    gathered.first_sent_ns = std::min(gathered.first_sent_ns, result->sent_ns);
    gathered.last_result_ns = now_ns();
  }
  results.close();
  ledger.parser_ended(parser);
}

/// Hears the producer out, to its news that all is finished: the last of what is returned.
std::vector<News> hear_news(Receiver& from, const std::function<void()>& now_and_then) {
  std::vector<News> heard;
  while (heard.empty() || heard.back().kind != News::Kind::finished) {
    News news;
    const Status status = from.recv(news, kProgressInterval);
    if (status == Status::ok) {
      heard.push_back(news);
    } else if (status == Status::timeout) {
      now_and_then();
    } else if (std::string why; status == Status::mismatch && from.recv(why) == Status::ok) {
      throw ServiceError(why);
    } else {
      throw ServiceError("the producer has died, and with it what was not yet read");
    }
  }
  return heard;
}

/// 1st, 2nd, 3rd, 4th, ..., 11th, ..., 21st.
std::string ordinal(std::uint64_t number) {
  constexpr std::array kEndings = {"th", "st", "nd", "rd"};
  const bool teen = number % 100 / 10 == 1;
  const std::uint64_t last = number % 10;
  return std::to_string(number) + kEndings[teen || last >= kEndings.size() ? 0 : last];
}

std::string tell(const News& loss, const Process& parser) {
  std::ostringstream text;
  text << parser << ", ";
  if (loss.batches == 0) {
    text << "between two batches: nothing was without a result";
  } else {
    text << "in batch " << loss.first << ", the " << ordinal(loss.ordinal) << " it was given; "
         << loss.batches << (loss.batches == 1 ? " batch" : " batches")
         << " without a result went to the survivors";
  }
  return text.str();
}

Outcome sum_up(std::vector<Gathered>& all) {
  Outcome outcome;
  std::int64_t first = std::numeric_limits<std::int64_t>::max();
  std::int64_t last = std::numeric_limits<std::int64_t>::min();
  for (const Gathered& one : all) {
    if (one.nonsense) throw ServiceError("a parser sent a result that makes no sense");
    outcome.counts.lines += one.counts.lines;
    outcome.counts.bytes += one.counts.bytes;
    outcome.counts.words += one.counts.words;
    outcome.counts.table.merge(one.counts.table);
    outcome.waits_ns.insert(outcome.waits_ns.end(), one.waits_ns.begin(), one.waits_ns.end());
    outcome.second_results += one.second_results;
    first = std::min(first, one.first_sent_ns);
    last = std::max(last, one.last_result_ns);
  }
  outcome.batches = outcome.waits_ns.size();
  if (last > first) outcome.seconds = 1e-9 * static_cast<double>(last - first);
  return outcome;
}

/// All processes of one run: the producer, then the parsers. Started while there is one thread.
void start(const Input& input, const Plan& plan, Pipes& pipes, std::vector<Process>& processes) {
  processes.reserve(plan.parsers + 1);
  processes.emplace_back("producer",
                         [&] { run_producer(input, plan.producer, pipes.keep_producers()); });
  for (unsigned i = 0; i < plan.parsers; ++i) {
    processes.emplace_back("parser-" + std::to_string(i + 1), [&, i] {
      auto [batches, results] = pipes.keep_parsers(i);
      run_parser(std::move(batches), std::move(results));
    });
  }
}

}  // namespace

Outcome run_service(const Input& input, const Plan& plan,
                    const std::function<void(const Progress&)>& progress) {
  // In this order so that, should anything throw, the pipes close before the processes are waited
  // for: a process whose pipes have ended ends.
  std::vector<Process> processes;
  Pipes pipes(plan.parsers);
  start(input, plan, pipes, processes);

  auto [results, notices, from_producer] = pipes.keep_parents();
  Ledger ledger(std::move(notices), plan.parsers);
  std::vector<Gathered> gathered(plan.parsers);
  std::vector<News> news;
  {
    std::vector<std::jthread> readers;  // joined at the end of this block
    try {
      for (unsigned i = 0; i < plan.parsers; ++i) {
        readers.emplace_back([&, &from = results[i], i] { gather(from, i, ledger, gathered[i]); });
      }
      news = hear_news(from_producer, [&] {
        if (progress) progress(ledger.progress());
      });
    } catch (...) {
      ledger.close();
      throw;
    }
  }
  Outcome outcome = sum_up(gathered);
  for (Process& process : processes) process.join();
  if (outcome.batches != news.back().batches) throw ServiceError("a batch has no result");
  news.pop_back();
  for (const News& loss : news) {
    outcome.incidents.push_back(tell(loss, processes[1 + loss.parser]));
  }
  return outcome;
}

}  // namespace quickstart
