// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/strategy.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <stdexcept>

namespace sluice::internal {
namespace {

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers from the same seed on every machine.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}

  std::uint64_t roll() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  /// Below n.
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(roll() % n); }
  bool one_in(std::size_t n) { return below(n) == 0; }

 private:
  std::uint64_t state_;
};

/// What random walks and PCT have in common: a seed per schedule, old values, deaths.
class Seeded : public Strategy {
 public:
  explicit Seeded(std::uint64_t seed) : seed_(seed), dice_(seed) {}

  bool begin(std::uint64_t number, unsigned /*threads*/) override {
    current_ = seed_ + number;
    dice_ = Dice(current_);
    // How long the schedule will be is not known: so a length by chance, and the same for the same
    // seed, whatever ran before.
    length_ = std::size_t{8} << dice_.below(7);
    old_value_ = std::size_t{2} << dice_.below(4);
    deaths_passed_ = 0;
    death_at_ = dice_.below(length_);
    return true;
  }

  std::size_t choose(Choice what, std::size_t n) override {
    if (what == Choice::value) return dice_.one_in(old_value_) ? 1 + dice_.below(n - 1) : 0;
    if (deaths_passed_++ != death_at_) return 0;
    death_at_ += 1 + dice_.below(length_);
    return 1 + dice_.below(n - 1);
  }

 protected:
  [[nodiscard]] std::string seed_text() const { return "seed " + std::to_string(current_); }
  Dice& dice() { return dice_; }
  [[nodiscard]] std::size_t length() const { return length_; }

 private:
  std::uint64_t seed_;
  std::uint64_t current_ = 0;
  Dice dice_;
  std::size_t length_ = 8;
  std::size_t old_value_ = 2;  ///< one load in so many that could, reads an old value
  std::size_t deaths_passed_ = 0;
  std::size_t death_at_ = 0;
};

class RandomWalk : public Seeded {
 public:
  using Seeded::Seeded;

  bool begin(std::uint64_t number, unsigned threads) override {
    Seeded::begin(number, threads);
    switch_ = std::size_t{1} << (2 * dice().below(3));
    return true;
  }

  std::size_t next(std::span<const unsigned> candidates, bool could_go_on) override {
    if (could_go_on && !dice().one_in(switch_)) return 0;
    return dice().below(candidates.size());
  }

  [[nodiscard]] std::string name() const override { return "random, " + seed_text(); }

 private:
  std::size_t switch_ = 1;  ///< at one point in so many another thread may go on
};

/// Burckhardt, Kothari, Musuvathi, Nagarakatte, ASPLOS 2010.
class Pct : public Seeded {
 public:
  Pct(std::uint64_t seed, unsigned depth) : Seeded(seed), depth_(std::max(depth, 1U)) {}

  bool begin(std::uint64_t number, unsigned threads) override {
    Seeded::begin(number, threads);
    // Timeouts are parties of their own.
    priority_.resize(2 * std::size_t{threads});
    std::iota(priority_.begin(), priority_.end(), depth_);
    for (std::size_t i = priority_.size(); i > 1; --i) {
      std::swap(priority_[i - 1], priority_[dice().below(i)]);
    }
    changes_.clear();
    for (unsigned i = 1; i < depth_; ++i) changes_.push_back(dice().below(length()));
    point_ = 0;
    lowest_ = 0;
    return true;
  }

  std::size_t next(std::span<const unsigned> candidates, bool /*could_go_on*/) override {
    const std::size_t highest = best(candidates);
    for (std::size_t i = 0; i < changes_.size(); ++i) {
      if (changes_[i] == point_) priority_[candidates[highest]] = static_cast<std::int64_t>(i);
    }
    ++point_;
    return best(candidates);
  }

  void yielded(unsigned thread) override { priority_[thread] = --lowest_; }

  [[nodiscard]] std::string name() const override {
    return "PCT of depth " + std::to_string(depth_) + ", " + seed_text();
  }

 private:
  [[nodiscard]] std::size_t best(std::span<const unsigned> candidates) const {
    return static_cast<std::size_t>(
        std::max_element(candidates.begin(), candidates.end(),
                         [&](unsigned a, unsigned b) { return priority_[a] < priority_[b]; }) -
        candidates.begin());
  }

  unsigned depth_;
  std::vector<std::int64_t> priority_;
  std::vector<std::size_t> changes_;
  std::size_t point_ = 0;
  std::int64_t lowest_ = 0;
};

/// Depth first over all choices, but for what exceeds the bounds.
class Exhaustive : public Strategy {
 public:
  explicit Exhaustive(ExhaustiveBounds bounds) : bounds_(bounds) {}

  bool begin(std::uint64_t number, unsigned /*threads*/) override {
    left_ = bounds_;
    depth_ = 0;
    if (number == 0) return true;
    while (!path_.empty() && path_.back().chosen + 1 == path_.back().possible) path_.pop_back();
    if (path_.empty()) return false;
    ++path_.back().chosen;
    return true;
  }

  std::size_t next(std::span<const unsigned> candidates, bool could_go_on) override {
    if (!could_go_on) return decide(candidates.size());
    if (left_.preemptions == 0) return 0;
    const std::size_t chosen = decide(candidates.size());
    if (chosen != 0) --left_.preemptions;
    return chosen;
  }

  std::size_t choose(Choice what, std::size_t n) override {
    if (what != Choice::value) return decide(n);
    if (left_.old_values == 0) return 0;
    const std::size_t chosen = decide(n);
    if (chosen != 0) --left_.old_values;
    return chosen;
  }

  [[nodiscard]] std::string name() const override {
    return "exhaustive with " + std::to_string(bounds_.preemptions) + " preemptions and " +
           std::to_string(bounds_.old_values) + " old values";
  }

 private:
  struct Fork {
    std::size_t chosen;
    std::size_t possible;
  };

  std::size_t decide(std::size_t n) {
    if (depth_ == path_.size()) path_.push_back({0, n});
    return path_[depth_++].chosen;
  }

  ExhaustiveBounds bounds_;
  ExhaustiveBounds left_ = bounds_;
  std::vector<Fork> path_;
  std::size_t depth_ = 0;
};

class Replay : public Strategy {
 public:
  explicit Replay(const std::string& choices) : choices_(choices_from_text(choices)) {}

  bool begin(std::uint64_t number, unsigned /*threads*/) override { return number == 0; }
  std::size_t next(std::span<const unsigned> candidates, bool /*could_go_on*/) override {
    return take(candidates.size());
  }
  std::size_t choose(Choice /*what*/, std::size_t n) override { return take(n); }
  [[nodiscard]] std::string name() const override { return "replay"; }

 private:
  std::size_t take(std::size_t n) {
    // Another scenario than the one recorded: anything is as good.
    return position_ < choices_.size() ? std::min<std::size_t>(choices_[position_++], n - 1) : 0;
  }

  std::vector<std::uint32_t> choices_;
  std::size_t position_ = 0;
};

}  // namespace

std::unique_ptr<Strategy> make_random(std::uint64_t seed) {
  return std::make_unique<RandomWalk>(seed);
}
std::unique_ptr<Strategy> make_pct(std::uint64_t seed, unsigned depth) {
  return std::make_unique<Pct>(seed, depth);
}
std::unique_ptr<Strategy> make_exhaustive(ExhaustiveBounds bounds) {
  return std::make_unique<Exhaustive>(bounds);
}
std::unique_ptr<Strategy> make_replay(const std::string& choices) {
  return std::make_unique<Replay>(choices);
}

std::string choices_to_text(std::span<const std::uint32_t> choices) {
  while (!choices.empty() && choices.back() == 0) choices = choices.first(choices.size() - 1);
  std::string text;
  for (std::size_t i = 0; i < choices.size();) {
    std::size_t end = i + 1;
    while (end < choices.size() && choices[end] == choices[i]) ++end;
    if (!text.empty()) text += ',';
    text += std::to_string(choices[i]);
    if (end - i > 1) text += 'x' + std::to_string(end - i);
    i = end;
  }
  return text.empty() ? "0" : text;
}

std::vector<std::uint32_t> choices_from_text(const std::string& text) {
  constexpr std::uint32_t kMostAlike = 1U << 20;
  std::vector<std::uint32_t> choices;
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto number = [&] {
    std::uint32_t n = 0;
    const auto [after, error] = std::from_chars(at, end, n);
    if (error != std::errc()) {
      throw std::invalid_argument("sluice testkit: not a sequence of choices: " + text);
    }
    at = after;
    return n;
  };
  for (;;) {
    const std::uint32_t value = number();
    std::uint32_t times = 1;
    if (at != end && *at == 'x') {
      ++at;
      times = std::min(number(), kMostAlike);
    }
    choices.insert(choices.end(), times, value);
    if (at == end) return choices;
    if (*at++ != ',') throw std::invalid_argument("sluice testkit: not choices: " + text);
  }
}

}  // namespace sluice::internal
