// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/harness/team.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::bench {
namespace {

constexpr std::size_t kMaxStages = 16;
constexpr std::size_t kMaxProcesses = 64;
// How long a repetition may take beyond its slices before it counts as hung.
constexpr std::chrono::seconds kPatienceOfSupervisor(20);
constexpr std::chrono::milliseconds kSpunForOthers(1);
constexpr std::chrono::microseconds kNap(50);

/// What the supervisor and its team share.
struct Board {
  // How many processes have reached the stage. Written by each of them, read by all.
  alignas(kNoSharing) std::atomic<std::uint32_t> arrived[kMaxStages];
  // The rest is read by the supervisor once the writer has ended, which orders it.
  alignas(kNoSharing) Figures figures[kMaxStages];
  char failure[kMaxProcesses][200];
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

void wait_for_all(std::atomic<std::uint32_t>& arrived, std::uint32_t processes) {
  // Releases this process's previous stage to the loads below; relaxed would let a yardstick's
  // stores run into the subject's slice.
  arrived.fetch_add(1, std::memory_order_acq_rel);
  // Acquires the arrivals above.
  const auto all = [&] { return arrived.load(std::memory_order_acquire) >= processes; };
  // Who took part in the stage before comes at once; who did not must not take the processor from a
  // subject that uses both.
  const Clock::time_point until = Clock::now() + kSpunForOthers;
  while (!all()) {
    if (Clock::now() > until) std::this_thread::sleep_for(kNap);
  }
}

void pin_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) {
    throw std::system_error(errno, std::generic_category(), "pin to CPU " + std::to_string(cpu));
  }
}

/// A member's whole life.
class Member {
 public:
  Member(Board& board, const Placement& placement, std::span<const Stage> stages,
         std::uint32_t index, std::uint32_t processes)
      : board_(board),
        placement_(placement),
        stages_(stages),
        index_(index),
        processes_(processes) {}

  [[noreturn]] void live(pid_t supervisor) const {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != supervisor) ::_exit(1);  // it died before the line above
    try {
      if (placement_.pinned) pin_to(placement_.cpus[index_ % placement_.cpus.size()]);
      for (std::size_t stage = 0; stage < stages_.size(); ++stage) play(stage);
    } catch (const std::exception& e) {
      std::snprintf(board_.failure[index_], sizeof board_.failure[index_], "%s", e.what());
      ::_exit(1);
    }
    // Not exit(): buffers and handlers are the supervisor's.
    ::_exit(0);
  }

 private:
  void play(std::size_t stage) const {
    wait_for_all(board_.arrived[stage], processes_);
    const Roles& roles = *stages_[stage].roles;
    if (index_ >= roles.size()) return;
    // Two roles of a stage never report the same figure, so they share the array.
    Slice slice(stages_[stage].times, board_.figures[stage]);
    roles[index_](slice);
  }

  Board& board_;
  const Placement& placement_;
  std::span<const Stage> stages_;
  std::uint32_t index_;
  std::uint32_t processes_;
};

/// The forked processes, as the supervisor sees them; kills and reaps what still runs.
class Children {
 public:
  Children() = default;
  Children(const Children&) = delete;
  Children& operator=(const Children&) = delete;
  ~Children() {
    for (const Child& child : children_) ::kill(child.pid, SIGKILL);
    for (const Child& child : children_) reap(child.pid);
  }

  void add(const Member& member) {
    const pid_t self = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (pid == 0) member.live(self);
    UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    children_.push_back({pid, std::move(pidfd), children_.size()});
    if (!children_.back().pidfd) {
      throw std::system_error(errno, std::generic_category(), "pidfd_open");
    }
  }

  /// Waits until all have ended well. Otherwise returns early, with why.
  std::string join(Clock::time_point until, const Board& board) {
    while (!children_.empty()) {
      const std::size_t ended = wait_for_one(until);
      if (ended == children_.size()) return "not done in time: killed";
      const Child child = std::move(children_[ended]);
      children_.erase(children_.begin() + static_cast<std::ptrdiff_t>(ended));
      const int status = reap(child.pid);
      if (status != 0) return explain(child.index, status, board);
    }
    return {};
  }

 private:
  struct Child {
    pid_t pid;
    UniqueFd pidfd;
    std::size_t index;
  };

  std::size_t wait_for_one(Clock::time_point until) const {
    std::vector<pollfd> fds;
    fds.reserve(children_.size());
    for (const Child& child : children_) fds.push_back({child.pidfd.get(), POLLIN, 0});
    for (;;) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
      const int ready = ::poll(fds.data(), fds.size(), std::max(0, static_cast<int>(left.count())));
      if (ready < 0 && errno == EINTR) continue;
      return static_cast<std::size_t>(
          std::find_if(fds.begin(), fds.end(), [](const pollfd& fd) { return fd.revents != 0; }) -
          fds.begin());
    }
  }

  static int reap(pid_t pid) {
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
  }

  static std::string explain(std::size_t index, int status, const Board& board) {
    std::string text = "process " + std::to_string(index) + ": ";
    if (WIFSIGNALED(status)) return text + "killed by signal " + std::to_string(WTERMSIG(status));
    return text + (board.failure[index][0] != 0 ? board.failure[index] : "ended early");
  }

  std::vector<Child> children_;
};

/// CPUs with the same answer are threads of one core.
std::string core_of(int cpu) {
  std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
                     "/topology/thread_siblings_list");
  std::string siblings;
  // Where the file is missing, every CPU is taken for a core.
  if (!std::getline(file, siblings)) siblings = std::to_string(cpu);
  return siblings;
}

}  // namespace

std::string Placement::describe() const {
  if (!pinned) return "not pinned: one CPU";
  std::string text = "pinned to";
  for (const int cpu : cpus) text.append(" ").append(std::to_string(cpu));
  return text;
}

Placement choose_cpus() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) {
    throw std::system_error(errno, std::generic_category(), "sched_getaffinity");
  }
  std::vector<int> usable;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) usable.push_back(cpu);
  }
  if (usable.size() < 2) return {.cpus = usable, .pinned = false};
  const auto other = std::find_if(usable.begin() + 1, usable.end(),
                                  [&](int cpu) { return core_of(cpu) != core_of(usable.front()); });
  return {.cpus = {usable[0], other == usable.end() ? usable[1] : *other}, .pinned = true};
}

std::vector<Figures> Team::run(std::span<const Stage> stages) const {
  if (stages.size() > kMaxStages) throw std::logic_error("too many stages");
  InShared<Board> board;
  Clock::time_point until = Clock::now() + kPatienceOfSupervisor;
  std::size_t processes = 1;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    board->figures[i].fill(kNotReported);
    until += stages[i].times.warm_up + stages[i].times.measured;
    processes = std::max(processes, stages[i].roles->size());
  }
  if (processes > kMaxProcesses) throw std::logic_error("too many roles");
  std::string trouble;
  {
    Children children;
    for (std::uint32_t i = 0; i < processes; ++i) {
      children.add(Member(*board, placement_, stages, i, static_cast<std::uint32_t>(processes)));
    }
    trouble = children.join(until, *board);
  }
  if (!trouble.empty()) throw std::runtime_error(trouble);
  return {board->figures, board->figures + stages.size()};
}

}  // namespace sluice::bench
