// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/parties.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <exception>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "sluice/testkit/check_options.h"
#include "sluice/testkit/child.h"

namespace sluice::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using namespace std::chrono_literals;

struct Party {
  Steps steps{0};
  std::atomic<pid_t> tid{0};
  std::atomic<bool> ended{false};
  std::thread thread;
};

bool sleeps(pid_t tid) {
  std::ifstream file("/proc/self/task/" + std::to_string(tid) + "/stat");
  const std::string line{std::istreambuf_iterator<char>(file), {}};
  // "tid (name) state ...": a name may hold anything, also a ')'.
  const std::size_t state = line.rfind(')') + 2;
  return state < line.size() && line[state] == 'S';
}

}  // namespace

struct Parties::Shared {
  std::mutex mutex;
  std::condition_variable somebody_ended;
  std::string threw;
  std::deque<Party> parties;  // whose elements stay where they are

  void run(Party& party, const std::function<void(Steps&)>& body) {
    party.tid = static_cast<pid_t>(syscall(SYS_gettid));
    std::string what;
    try {
      body(party.steps);
    } catch (...) {
      what = "a thread threw: " + text_of(std::current_exception());
    }
    const std::scoped_lock lock(mutex);
    if (threw.empty()) threw = what;
    party.ended = true;
    somebody_ended.notify_all();
  }
};

Parties::Parties() : shared_(std::make_shared<Shared>()) {}

Parties::~Parties() {
  for (Party& party : shared_->parties) {
    if (party.ended) {
      party.thread.join();
    } else {
      party.thread.detach();
    }
  }
}

void Parties::start(std::function<void(Steps&)> body) {
  Party& party = shared_->parties.emplace_back();
  party.thread = std::thread([shared = shared_, &party, body = std::move(body)]() mutable {
    // Here, so that what it refers to ends with the thread, at the latest before it is joined.
    const std::function<void(Steps&)> mine = std::move(body);
    shared->run(party, mine);
  });
}

bool Parties::wait_for_step(std::size_t party, std::uint64_t step, milliseconds patience) {
  note_call("the next step of a thread");
  const Party& watched = shared_->parties[party];
  const auto end = steady_clock::now() + patience;
  for (unsigned looks = 0; watched.steps < step; ++looks) {
    if (watched.ended) return watched.steps >= step;
    if (steady_clock::now() > end) return false;
    if (looks < 100) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(50us);
    }
  }
  return true;
}

bool Parties::wait_for_all(milliseconds patience) {
  std::uint64_t before = 0;
  auto last_step = steady_clock::now();
  std::unique_lock lock(shared_->mutex);
  for (;;) {
    std::uint64_t now = 0;
    bool all = true;
    for (const Party& party : shared_->parties) {
      now += party.steps + (party.ended ? 1 : 0);
      all = all && party.ended;
    }
    if (all) return true;
    if (!shared_->threw.empty()) return false;
    if (now != before) {
      last_step = steady_clock::now();
      note_call("the next step of any thread");
    }
    if (steady_clock::now() - last_step > patience) return false;
    before = now;
    shared_->somebody_ended.wait_for(lock, 20ms);
  }
}

void Parties::wait_until_asleep(std::size_t party) {
  const Party& watched = shared_->parties[party];
  const auto end = steady_clock::now() + 20ms;
  // Twice in a row: it may have been a lock on the way.
  for (unsigned asleep = 0; asleep < 2 && !watched.ended && steady_clock::now() < end;) {
    asleep = watched.tid != 0 && sleeps(watched.tid) ? asleep + 1 : 0;
    std::this_thread::sleep_for(50us);
  }
}

std::size_t Parties::count() const { return shared_->parties.size(); }

std::uint64_t Parties::steps(std::size_t party) const { return shared_->parties[party].steps; }

bool Parties::has_ended(std::size_t party) const { return shared_->parties[party].ended; }

std::string Parties::threw() const {
  const std::scoped_lock lock(shared_->mutex);
  return shared_->threw;
}

void dawdle(Dice& dice) {
  if (dice.roll(8) != 0) return;
  for (std::uint64_t turns = dice.roll(200); turns != 0; --turns) asm volatile("");
}

}  // namespace sluice::internal
