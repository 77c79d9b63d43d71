// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sluice/lockfree/task_board.h"
#include "sluice/pool/log.h"
#include "sluice/pool/process.h"
#include "sluice/pool/spare_worker.h"
#include "sluice/pool/task_error.h"
#include "sluice/pool/worker.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"

namespace sluice::internal {
namespace {

using Clock = std::chrono::steady_clock;

/// How long the next successor of those that come to nothing has to wait.
class Patience {
 public:
  [[nodiscard]] Clock::time_point next() {
    const auto when = Clock::now() + delay_;
    delay_ = std::min(2 * delay_, kLongest);
    return when;
  }
  void reset() { delay_ = kShortest; }

 private:
  static constexpr std::chrono::milliseconds kShortest{1}, kLongest{1000};
  std::chrono::milliseconds delay_ = kShortest;
};

/// A worker's place: who is in it, or when somebody is to be.
struct Place {
  std::unique_ptr<Process> worker;
  std::optional<Clock::time_point> due;
  bool cancelled = false;  ///< killed for the sake of its task
};

/// A worker that has ended, and perhaps still has a task.
struct Death {
  Tag tag;
  DeathCause cause;
  pid_t pid;
  int code;
};

constexpr std::chrono::milliseconds kSpareDelay{20};
constexpr std::chrono::seconds kSpareRetry{1};
constexpr std::uint32_t kLongestStep = 32;

class Supervisor {
 public:
  Supervisor(PoolMemory& memory, const PoolOptions& options, const UniqueFd& commands,
             const UniqueFd& parent_pidfd)
      : memory_(memory),
        options_(options),
        commands_(commands),
        parent_pidfd_(parent_pidfd),
        board_(memory.board()),
        places_(memory.shape().workers),
        least_(options.workers),
        wanted_(options.workers),
        next_round_(Clock::now() + options.idle_time),
        keeps_spare_(SpareWorker::pays()) {}

  int run() {
    refill();
    while (!over_ && !is_done()) {
      renew_spare();
      wait();
      keep_spares();
      start_due();
    }
    kill_all();
    return memory_.broken() ? EXIT_FAILURE : EXIT_SUCCESS;
  }

 private:
  [[nodiscard]] std::uint32_t living() const {
    return static_cast<std::uint32_t>(std::ranges::count_if(
        places_, [](const Place& place) { return place.worker != nullptr || place.due; }));
  }

  /// Whether there is, or may come to be, work for one more worker.
  [[nodiscard]] bool is_work_left() const {
    if (board_.is_open()) return true;
    const TaskCounts counts = board_.counts();
    return counts.ready != 0 || counts.leased != 0;
  }

  /// Closed, and so is the last worker's account.
  [[nodiscard]] bool is_done() {
    if (board_.is_open() || living() != 0 || !deaths_.empty()) return false;
    refill();
    return living() == 0;
  }

  /// Sees to it that as many workers are there as there are to be.
  void refill() {
    if (!is_work_left()) return;
    for (std::size_t i = 0; i < places_.size() && living() < wanted_; ++i) {
      Place& place = places_[i];
      if (place.worker != nullptr || place.due) continue;
      place.due = Clock::now();
    }
    start_due();
  }

  void start_due() {
    for (std::size_t i = 0; i < places_.size() && !over_; ++i) {
      if (places_[i].due && *places_[i].due <= Clock::now()) start(i);
    }
    memory_.set_workers(living(), wanted_);
  }

  void start(std::size_t i) {
    Place& place = places_[i];
    place.due.reset();
    WorkerCells cells = memory_.worker(i);
    cells.set_state(WorkerState::starting);
    const std::string name = options_.name + '-' + std::to_string(i + 1);
    try {
      if (spare_) {
        place.worker = spare_->assign(i, name);
        spare_.reset();
      } else {
        place.worker = fork_worker(name, [this, i] { return run_worker(memory_, i, options_); });
      }
      started_one_ = true;
    } catch (const Error& e) {
      cells.vacate();
      if (started_one_) {
        place.due = patience_.next();
      } else {
        give_up(i, e);
      }
    }
  }

  /// After a while, in which those who have work to do had the processors.
  void renew_spare() {
    if (!keeps_spare_ || spare_ || over_ || !board_.is_open()) {
      spare_due_.reset();
      return;
    }
    if (!spare_due_) spare_due_ = Clock::now() + kSpareDelay;
    if (*spare_due_ > Clock::now()) return;
    spare_due_.reset();
    try {
      spare_.emplace(options_.name + "-spare",
                     [this](std::size_t i) { return run_worker(memory_, i, options_); });
    } catch (const Error&) {
      // Not needed yet; where no process can be had, who needs one says so.
      spare_.reset();
      spare_due_ = Clock::now() + kSpareRetry;
    }
  }

  void give_up(std::size_t i, const Error& why) {
    try {
      throw why;
    } catch (const Error&) {
      memory_.worker(i).fail(encode_current_exception(options_.name));
    }
    set_broken();
  }

  void set_broken() {
    memory_.set_broken();
    board_.stop();
    over_ = true;
  }

  /// Until something has happened, or a successor is due; deals with it.
  void wait() {
    std::vector<pollfd> watched = {{.fd = commands_.get(), .events = POLLIN, .revents = 0},
                                   {.fd = parent_pidfd_.get(), .events = POLLIN, .revents = 0}};
    std::vector<std::size_t> who;
    for (std::size_t i = 0; i < places_.size(); ++i) {
      if (places_[i].worker == nullptr) continue;
      watched.push_back({.fd = places_[i].worker->sentinel(), .events = POLLIN, .revents = 0});
      who.push_back(i);
    }
    if (spare_) watched.push_back({.fd = spare_->sentinel(), .events = POLLIN, .revents = 0});
    const int ready = poll(watched.data(), watched.size(), timeout());
    settle_deaths();
    if (ready <= 0) return;
    if (watched[1].revents != 0) {
      over_ = true;
      return;
    }
    if (spare_ && watched.back().revents != 0) spare_.reset();
    for (std::size_t k = 0; k < who.size(); ++k) {
      if (watched[k + 2].revents != 0) bury(who[k]);
    }
    if (watched[0].revents != 0) obey();
  }

  /// For poll(2), in ms: until the next one is due.
  [[nodiscard]] int timeout() const {
    std::optional<Clock::time_point> next = spare_due_;
    if (has_spare_rule() && (!next || next_round_ < *next)) next = next_round_;
    for (const Place& place : places_) {
      if (place.due && (!next || *place.due < *next)) next = place.due;
    }
    constexpr std::chrono::milliseconds kAskAgain{5};
    if (!deaths_.empty())
      next = std::min(next.value_or(Clock::now() + kAskAgain), Clock::now() + kAskAgain);
    if (!next) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now());
    return static_cast<int>(std::max<std::chrono::milliseconds::rep>(left.count(), 0));
  }

  /// A worker has ended.
  void bury(std::size_t i) {
    Place& place = places_[i];
    place.worker->join();
    WorkerCells cells = memory_.worker(i);
    const int code = place.worker->exit_code().value_or(0);
    const WorkerState state = cells.state();
    const bool cancelled = std::exchange(place.cancelled, false);
    const bool in_order = state == WorkerState::leaving && code == EXIT_SUCCESS;
    const pid_t pid = place.worker->pid();
    place.worker.reset();
    if (state == WorkerState::failed) {
      set_broken();
      return;
    }
    if (!in_order) {
      tell_death(i, pid, code);
      take_over(cells, pid, code, cancelled);
    }
    const bool came_to_something = in_order || cancelled || cells.has_done_a_task();
    if (came_to_something) patience_.reset();
    cells.vacate();
    if (living() >= wanted_ || !is_work_left()) return;
    cells.count_restart();
    get_logger().info("worker ", options_.name, "-", i + 1, " is replaced");
    place.due = came_to_something ? Clock::now() : patience_.next();
  }

  void tell_death(std::size_t i, pid_t pid, int code) const {
    get_logger().warning("worker ", options_.name, "-", i + 1, " (pid ", pid, ") ",
                         code < 0 ? "was killed by signal " : "ended with exit code ",
                         std::abs(code), "; its task fails or is tried again");
  }

  void take_over(WorkerCells cells, pid_t pid, int code, bool cancelled) {
    const Tag dead = cells.tag();
    if (dead == participant::kNobody) return;
    if (cancelled) board_.forbid_attempts(dead);
    const std::uint64_t until = cells.limit_until();
    const bool late = code == -SIGKILL && until != 0 && until <= steady_ns();
    DeathCause cause = DeathCause::died;
    if (late) cause = DeathCause::time_limit;
    if (cancelled) cause = DeathCause::cancelled;
    deaths_.push_back({dead, cause, pid, code});
    settle_deaths();
  }

  /// The kernel may still call a process alive that has ended, while another uses its memory: a
  /// child that it had just made with vfork(2). Such deaths are asked after again.
  void settle_deaths() {
    std::erase_if(deaths_, [this](const Death& death) {
      const Status status = board_.take_over(death.tag, [&](const Task& task, TaskState) {
        TaskBody* const body = PoolMemory::body(board_.body(task));
        body->cause = death.cause;
        body->death_pid = death.pid;
        body->death_code = death.code;
      });
      return status != Status::busy;
    });
  }

  void obey() {
    SupervisorCommand command = {};
    const ssize_t size = recv(commands_.get(), &command, sizeof command, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size != sizeof command) {  // the owner has let go of the pool
      over_ = true;
      return;
    }
    switch (command.verb) {
      case SupervisorCommand::Verb::stop:
        over_ = true;
        break;
      case SupervisorCommand::Verb::kill_task:
        kill_holder_of(command.task);
        break;
      case SupervisorCommand::Verb::grow:
        grow();
        break;
      case SupervisorCommand::Verb::resize:
        wanted_ = std::clamp(command.workers, 1U, memory_.shape().workers);
        least_ = wanted_;
        memory_.set_workers(living(), wanted_);
        refill();
        break;
    }
  }

  [[nodiscard]] bool has_spare_rule() const {
    return options_.min_spare != 0 || options_.max_spare != 0;
  }

  /// As httpd's prefork module does: the more quickly, the longer there are too few.
  void keep_spares() {
    const auto now = Clock::now();
    if (!has_spare_rule() || now < next_round_) return;
    next_round_ = now + options_.idle_time;
    const std::size_t busy = board_.counts().leased;
    const std::size_t idle = living() - std::min<std::size_t>(living(), busy);
    if (idle < options_.min_spare) {
      wanted_ = std::min(static_cast<std::uint32_t>(places_.size()), living() + step_);
      step_ = std::min(2 * step_, kLongestStep);
      refill();
      return;
    }
    step_ = 1;
    if (options_.max_spare == 0 || idle <= options_.max_spare || living() <= least_) return;
    wanted_ = living() - 1;
    memory_.set_workers(living(), wanted_);
  }

  /// Twice as many each time tasks wait, as long as there is room.
  void grow() {
    const auto most = static_cast<std::uint32_t>(places_.size());
    const std::uint32_t now = living();
    const std::uint32_t least = std::exchange(wanted_, std::min(most, 2 * std::max(now, 1U)));
    refill();
    wanted_ = least;
    memory_.set_workers(living(), wanted_);
  }

  /// Stopped first: while it runs it might be done with this task and begin another.
  void kill_holder_of(const Task& task) {
    const Tag holder = board_.holder(task);
    if (holder == participant::kNobody) return;
    for (std::size_t i = 0; i < places_.size(); ++i) {
      Place& place = places_[i];
      if (place.worker == nullptr || memory_.worker(i).tag() != holder) continue;
      place.worker->send_signal(SIGSTOP);
      wait_stopped(place.worker->pid());
      place.cancelled = board_.holder(task) == holder;
      place.worker->send_signal(place.cancelled ? SIGKILL : SIGCONT);
      return;
    }
  }

  static void wait_stopped(pid_t pid) {
    siginfo_t info = {};
    while (waitid(P_PID, static_cast<id_t>(pid), &info, WSTOPPED | WEXITED | WNOWAIT) != 0 &&
           errno == EINTR) {
    }
  }

  void kill_all() {
    for (Place& place : places_) {
      if (place.worker != nullptr) place.worker->kill();
    }
    spare_.reset();
    for (Place& place : places_) place.worker.reset();  // joined
    memory_.set_workers(0, 0);
  }

  PoolMemory& memory_;
  const PoolOptions& options_;
  const UniqueFd& commands_;
  const UniqueFd& parent_pidfd_;
  TaskBoard::Supervisor board_;
  std::vector<Place> places_;
  std::vector<Death> deaths_;  ///< not settled
  std::uint32_t least_;
  std::uint32_t wanted_;
  std::uint32_t step_ = 1;  ///< how many more the next time
  Clock::time_point next_round_;
  bool keeps_spare_;
  std::optional<SpareWorker> spare_;
  std::optional<Clock::time_point> spare_due_;
  Patience patience_;
  bool started_one_ = false;
  bool over_ = false;
};

}  // namespace

int run_supervisor(PoolMemory& memory, const PoolOptions& options, const UniqueFd& commands,
                   const UniqueFd& parent_pidfd) {
  signal(SIGINT, SIG_IGN);
  signal(SIGCHLD,
         SIG_DFL);  // the user's may be ignored, and then nobody would know how a worker ended
  return Supervisor(memory, options, commands, parent_pidfd).run();
}

}  // namespace sluice::internal
