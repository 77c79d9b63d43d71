// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/task_board_cases.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/yardsticks.h"
#include "sluice/lockfree/mpmc_ring.h"
#include "sluice/lockfree/task_board.h"
#include "sluice/lockfree/task_word.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"

namespace sluice::bench {
namespace {

constexpr std::size_t kTasks = 1024, kBody = 48;

void require(bool holds) {
  if (!holds) throw std::runtime_error("the task board has failed");
}

/// Whose first byte says whether it is the last one of a slice.
class Board {
 public:
  Board() : memory_(TaskBoard::bytes_for(kTasks, kBody)) {
    TaskBoard::format(memory_.bytes(), kTasks, kBody);
  }
  [[nodiscard]] std::span<std::byte> memory() const { return memory_.bytes(); }

 private:
  SharedMemory memory_;
};

/// The submitter's side.
class Client {
 public:
  explicit Client(const Board& board) : submitter_(board.memory()), collector_(board.memory()) {}

  Task allocate(bool is_last = false) {
    Task task;
    require(submitter_.try_allocate(task) == Status::ok);
    submitter_.body(task)[0] = std::byte{is_last};
    return task;
  }
  void post(bool is_last = false) { require(submitter_.post(allocate(is_last)) == Status::ok); }
  void collect() {
    Task task;
    TaskState state{};
    require(collector_.collect(task, state, Deadline::never()) == Status::ok);
    require(submitter_.release(task) == Status::ok);
  }
  void there_and_back(bool is_last = false) {
    post(is_last);
    collect();
  }

  /// Posts `count` while it collects those that are done.
  template <std::size_t kBatch>
  void stream(std::size_t count) {
    std::size_t posted = 0, collected = 0;
    std::array<Task, kBatch> batch;
    while (collected < count) {
      for (; posted < count && posted - collected + kBatch <= kTasks; posted += kBatch) {
        for (Task& task : batch) task = allocate();
        require(submitter_.post_n(batch) == kBatch);
      }
      Task task;
      TaskState state{};
      while (collector_.try_collect(task, state) == Status::ok) {
        require(submitter_.release(task) == Status::ok);
        ++collected;
      }
    }
  }

 private:
  TaskBoard::Submitter submitter_;
  TaskBoard::Collector collector_;
};

void work(TaskBoard::Worker& worker) {
  for (bool is_last = false; !is_last;) {
    Task task;
    require(worker.claim(task, Deadline::never()) == Status::ok);
    is_last = worker.body(task)[0] != std::byte{0};
    require(worker.commit(task) == Status::ok);
  }
}

Variant alone() {
  return {"", [] {
            auto board = std::make_shared<Board>();
            return Roles{[board](Slice& slice) {
              Client client(*board);
              TaskBoard::Worker worker(board->memory());
              slice.report(0, 1e9 * slice.seconds_per_call([&] {
                client.post();
                Task task;
                require(worker.try_claim(task) == Status::ok);
                require(worker.commit(task) == Status::ok);
                client.collect();
              }));
            }};
          }};
}

/// What `measure` reports of a client whose worker waits as the policy says.
Variant beside_a_worker(std::string name, WaitMode mode, void (*measure)(Client&, Slice&)) {
  return {std::move(name), [mode, measure] {
            auto board = std::make_shared<Board>();
            const auto lead = [board, mode, measure](Slice& slice) {
              set_wait_policy({.mode = mode});
              Client client(*board);
              measure(client, slice);
              client.there_and_back(true);
            };
            const auto worker = [board, mode](Slice&) {
              set_wait_policy({.mode = mode});
              TaskBoard::Worker mine(board->memory());
              work(mine);
            };
            return Roles{lead, worker};
          }};
}

void measure_trips(Client& client, Slice& slice) {
  slice.report(0, 1e9 * slice.seconds_per_call([&] { client.there_and_back(); }));
}

template <std::size_t kBatch>
void measure_stream(Client& client, Slice& slice) {
  constexpr std::size_t kCount = 8192;
  const double seconds = slice.seconds_per_call([&] { client.stream<kBatch>(kCount); });
  slice.report(0, kCount / seconds / 1e6);
}

/// There and back through two rings of numbers.
struct Rings {
  using Ring = MpmcRing<std::uint64_t>;
  static constexpr std::size_t kCapacity = 2 * kTasks + 64;

  Rings() {
    Ring::format(there.bytes(), kCapacity);
    Ring::format(back.bytes(), kCapacity);
  }
  SharedMemory there{Ring::bytes_for(kCapacity)}, back{Ring::bytes_for(kCapacity)};
};

void pass(Rings::Ring::Producer& to, std::uint64_t number) {
  require(to.try_push(number) == Status::ok);
}
std::uint64_t take(Rings::Ring::Consumer& from) {
  std::uint64_t number = 0;
  while (from.try_pop(number) != Status::ok) cpu_pause();
  return number;
}

Variant rings_alone() {
  return {"", [] {
            auto rings = std::make_shared<Rings>();
            return Roles{[rings](Slice& slice) {
              Rings::Ring::Producer there(rings->there.bytes()), back(rings->back.bytes());
              Rings::Ring::Consumer at_worker(rings->there.bytes()), home(rings->back.bytes());
              slice.report(0, 1e9 * slice.seconds_per_call([&] {
                pass(there, 1);
                pass(back, take(at_worker));
                take(home);
              }));
            }};
          }};
}

Variant rings_beside_a_worker() {
  return {"", [] {
            auto rings = std::make_shared<Rings>();
            const auto lead = [rings](Slice& slice) {
              Rings::Ring::Producer there(rings->there.bytes());
              Rings::Ring::Consumer home(rings->back.bytes());
              slice.report(0, 1e9 * slice.seconds_per_call([&] {
                pass(there, 1);
                take(home);
              }));
              pass(there, 0);
              take(home);
            };
            const auto worker = [rings](Slice&) {
              Rings::Ring::Consumer at_worker(rings->there.bytes());
              Rings::Ring::Producer back(rings->back.bytes());
              for (std::uint64_t number = 1; number != 0;) {
                number = take(at_worker);
                pass(back, number);
              }
            };
            return Roles{lead, worker};
          }};
}

}  // namespace

void add_task_board_cases(Suite& suite) {
  suite.add({.group = "task_board",
             .name = "task_board/alone",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::pingpong},
            {{"sluice", {alone()}}, {"two_mpmc_rings", {rings_alone()}}});
  suite.add({.group = "task_board",
             .name = "task_board/pingpong_awake",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::pingpong},
            {{"sluice", {beside_a_worker("", WaitMode::spin, measure_trips)}},
             {"two_mpmc_rings", {rings_beside_a_worker()}}});
  suite.add({.group = "task_board",
             .name = "task_board/pingpong_asleep",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::futex_pingpong},
            {{"sluice", {beside_a_worker("", WaitMode::block, measure_trips)}}});
  suite.add({.group = "task_board",
             .name = "task_board/stream",
             .unit = "Mitem/s",
             .better = Better::higher,
             .limit = Yardstick::reference_ring},
            {{"sluice",
              {beside_a_worker("one_by_one", WaitMode::spin, measure_stream<1>),
               beside_a_worker("by_64", WaitMode::spin, measure_stream<64>)}}});
}

}  // namespace sluice::bench
