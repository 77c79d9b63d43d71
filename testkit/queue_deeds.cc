// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/queue_deeds.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace sluice::internal {
namespace {

using testkit::item;
using testkit::number_of;
using testkit::producer_of;
using testkit::QueueOrder;

std::string name_of(std::uint64_t number) {
  return std::to_string(producer_of(number)) + ":" + std::to_string(number_of(number));
}

bool contains(const QueueNumbers& numbers, std::uint64_t number) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

QueueNumbers taken_by(const QueueDeeds& deeds) {
  QueueNumbers taken;
  const std::size_t count = std::min<std::size_t>(deeds.popped, QueueDeeds::kMost);
  for (std::size_t i = 0; i < count; ++i) taken.push_back(deeds.items[i]);
  return taken;
}

class Judge {
 public:
  explicit Judge(const QueueEvidence& evidence)
      : evidence_(evidence), taken_(taken_by(evidence.victim)) {
    const QueueNumbers more = taken_by(evidence.other);
    taken_.insert(taken_.end(), more.begin(), more.end());
    acknowledged_ = evidence.start;
    append(QueueParty::victim, evidence.victim.pushed);
    append(QueueParty::other, evidence.other.pushed);
    append(QueueParty::survivor, evidence.own);
    doubtful_ = std::size_t{evidence.victim.popping} + evidence.other.popping;
  }

  [[nodiscard]] std::string judge() const {
    if (evidence_.victim.torn + evidence_.other.torn > 0) return "a pop returned a torn item";
    std::string wrong = unknown_or_doubled();
    if (wrong.empty()) wrong = lost();
    if (wrong.empty() && !is_in_order(evidence_.found, doubtful_)) wrong = "out of order";
    return wrong.empty() ? "" : wrong + "; came out: " + text_of(evidence_.found);
  }

 private:
  void append(QueueParty party, std::uint32_t count) {
    for (std::uint32_t n = 1; n <= count; ++n) {
      acknowledged_.push_back(item(static_cast<std::uint32_t>(party), n));
    }
  }

  /// Pushed by somebody, or perhaps.
  [[nodiscard]] bool is_known(std::uint64_t number) const {
    const auto is_of = [&](QueueParty party, std::uint32_t tried) {
      return producer_of(number) == static_cast<std::uint32_t>(party) &&
             number_of(number) - 1 < tried;
    };
    return contains(acknowledged_, number) || is_of(QueueParty::victim, evidence_.victim.tried) ||
           is_of(QueueParty::other, evidence_.other.tried);
  }

  [[nodiscard]] std::string unknown_or_doubled() const {
    QueueNumbers seen;
    for (const std::uint64_t number : taken_) {
      if (!is_known(number)) return "a pop returned " + name_of(number) + ", never pushed";
      if (contains(seen, number)) return name_of(number) + " was popped twice";
      seen.push_back(number);
    }
    for (const std::uint64_t number : evidence_.found) {
      if (!is_known(number)) return name_of(number) + " came out, and was never pushed";
      if (contains(taken_, number))
        return name_of(number) + " came again after its pop had returned";
      if (contains(seen, number)) return name_of(number) + " came out twice";
      seen.push_back(number);
    }
    return "";
  }

  [[nodiscard]] std::string lost() const {
    QueueNumbers lost;
    for (const std::uint64_t number : acknowledged_) {
      if (!contains(evidence_.found, number) && !contains(taken_, number)) lost.push_back(number);
    }
    if (lost.size() <= doubtful_) return "";
    return "acknowledged, and lost: " + text_of(lost) + ", where pops under way may have taken " +
           std::to_string(doubtful_);
  }

  /// Whether the push of `a` had returned before that of `b` began.
  [[nodiscard]] bool was_before(std::uint64_t a, std::uint64_t b) const {
    const std::uint32_t of_a = producer_of(a);
    const std::uint32_t of_b = producer_of(b);
    if (of_a == of_b) return number_of(a) < number_of(b);
    return of_a == static_cast<std::uint32_t>(QueueParty::start) ||
           (of_b == static_cast<std::uint32_t>(QueueParty::survivor) && contains(acknowledged_, a));
  }

  /// Whether `first` may come out before `second`, both of them being in it when the first comes.
  [[nodiscard]] bool may_come_before(std::uint64_t first, std::uint64_t second) const {
    switch (evidence_.traits.order) {
      case QueueOrder::fifo:
        return !was_before(second, first);
      case QueueOrder::lifo:
        return !was_before(first, second);
      case QueueOrder::priority:
        // One that was being pushed may have come late.
        return first < second || !contains(acknowledged_, second);
      case QueueOrder::per_producer_fifo:
        break;
    }
    return producer_of(first) != producer_of(second) || first < second;
  }

  /// With as many exceptions: what a dead one had in hand may be offered again at another place.
  [[nodiscard]] bool is_in_order(const QueueNumbers& found, std::size_t exceptions) const {
    for (std::size_t j = 1; j < found.size(); ++j) {
      for (std::size_t i = 0; i < j; ++i) {
        if (may_come_before(found[i], found[j])) continue;
        if (exceptions == 0) return false;
        return is_in_order(without(found, i), exceptions - 1) ||
               is_in_order(without(found, j), exceptions - 1);
      }
    }
    return true;
  }
  static QueueNumbers without(QueueNumbers numbers, std::size_t at) {
    numbers.erase(numbers.begin() + static_cast<std::ptrdiff_t>(at));
    return numbers;
  }

  const QueueEvidence& evidence_;
  QueueNumbers taken_;
  QueueNumbers acknowledged_;
  std::size_t doubtful_ = 0;
};

}  // namespace

std::string judge(const QueueEvidence& evidence) { return Judge(evidence).judge(); }

bool may_be_full(const QueueEvidence& evidence, std::size_t capacity) {
  const std::size_t in =
      evidence.start.size() + evidence.victim.tried + evidence.other.tried + evidence.own;
  // Behind what a dead one had in hand no room is made, until that comes out.
  const bool in_hand = evidence.victim.popping + evidence.other.popping > 0;
  const std::size_t out = in_hand ? 0 : std::size_t{evidence.victim.popped} + evidence.other.popped;
  return evidence.traits.bounded && in >= capacity + out;
}

std::string text_of(std::span<const std::uint64_t> numbers) {
  constexpr std::size_t kShown = 20;
  std::string text = "[";
  for (const std::uint64_t number : numbers.first(std::min(numbers.size(), kShown))) {
    text += (text.size() > 1 ? " " : "") + name_of(number);
  }
  return text + (numbers.size() > kShown ? " ...]" : "]");
}

}  // namespace sluice::internal
