// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/supervisor_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <list>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "sluice/ipc/codec.h"
#include "sluice/ipc/fd_socket.h"
#include "sluice/pool/start_options.h"
#include "sluice/pool/worker_function.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"

namespace sluice::internal {
namespace {

/// What the prepared process is sent of the options.
struct Plan {
  std::uint32_t workers = 0;
  std::int64_t idle_ms = 0;
  std::uint64_t max_tasks_per_worker = 0;
  std::uint32_t min_spare = 0, max_spare = 0;
  std::string name;
  TravellingFunction initializer, finalizer;

  auto sluice_members() {
    return std::tie(workers, idle_ms, max_tasks_per_worker, min_spare, max_spare, name, initializer,
                    finalizer);
  }
};

constexpr std::size_t kMostPlanBytes = 65536;

UniqueFd open_pidfd(pid_t pid) {
  UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (fd) return fd;
  throw Error::from_errno(errno, {.tried = "make a pool: open a pidfd",
                                  .expected = "a kernel that grants pidfd_open(2)"});
}

std::array<UniqueFd, 2> make_channel() {
  std::array<int, 2> ends = {};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw Error::from_errno(errno, {.tried = "make a pool: the channel to its supervisor"});
  }
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// Bytes in a descriptor that can be sent.
UniqueFd as_file(const std::vector<std::byte>& bytes) {
  UniqueFd file(memfd_create("sluice-pool-plan", MFD_CLOEXEC));
  if (!file ||
      pwrite(file.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    throw Error::from_errno(errno, {.tried = "make a pool: write its options"});
  }
  return file;
}

Plan read_plan(const UniqueFd& file) {
  std::vector<std::byte> bytes(kMostPlanBytes);
  const ssize_t size = pread(file.get(), bytes.data(), bytes.size(), 0);
  Plan plan;
  if (size <= 0 ||
      decode(std::span(bytes).first(static_cast<std::size_t>(size)), plan) != Status::ok) {
    throw Error(Status::corrupt, {.tried = "read the options of a pool"});
  }
  return plan;
}

/// What the prepared process does: one supervisor for each request, until its owner is gone.
class Prepared {
 public:
  explicit Prepared(FdSocket socket) : socket_(std::move(socket)) {}

  void run() {
    signal(SIGINT, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    for (;;) {
      std::vector<pollfd> watched = {{.fd = socket_.descriptor(), .events = POLLIN, .revents = 0}};
      for (const Process& p : supervisors_) {
        watched.push_back({.fd = p.sentinel(), .events = POLLIN, .revents = 0});
      }
      if (poll(watched.data(), watched.size(), -1) < 0) continue;
      supervisors_.remove_if([](Process& p) { return p.join(Deadline::now()); });
      if (watched[0].revents != 0 && !serve()) break;
    }
    for (Process& p : supervisors_) p.kill();
  }

 private:
  /// False if there is nobody to serve any more.
  bool serve() {
    std::array<UniqueFd, 4> fds;
    for (UniqueFd& fd : fds) {
      if (socket_.recv_fd(fd) != Status::ok) return false;
    }
    auto& [memory, commands, owner, plan] = fds;
    const Plan options = read_plan(plan);
    supervisors_.emplace_back(StartOptions{.name = options.name, .daemon = true}, [&] {
      const int code = supervise(memory, commands, owner, options);
      if (code != EXIT_SUCCESS) _exit(code);
    });
    return socket_.send_fd(supervisors_.back().sentinel()) == Status::ok;
  }

  static int supervise(UniqueFd& segment, const UniqueFd& commands, const UniqueFd& owner,
                       const Plan& plan) {
    PoolMemory memory(std::move(segment));
    PoolOptions options;
    options.workers = plan.workers;
    options.idle_time = std::chrono::milliseconds(plan.idle_ms);
    options.max_tasks_per_worker = plan.max_tasks_per_worker;
    options.min_spare = plan.min_spare;
    options.max_spare = plan.max_spare;
    options.name = plan.name;
    options.initializer = WorkerFunction::arrived(plan.initializer);
    options.finalizer = WorkerFunction::arrived(plan.finalizer);
    return run_supervisor(memory, options, commands, owner);
  }

  FdSocket socket_;
  std::list<Process> supervisors_;
};

/// Of this process; never destroyed: the process is a daemon, which ends with this one.
struct Preparation {
  std::mutex mutex;  ///< a request and its answer
  pid_t owner = -1;
  std::optional<FdSocket> socket;
  std::optional<Process> process;
};

Preparation& preparation() {
  static Preparation& only = *new Preparation;
  return only;
}

[[noreturn]] void refuse_functions(const PoolOptions& options, const char* found) {
  throw Error::from_errno(
      EINVAL, {.tried = "make the pool \"" + options.name + "\" after Pool::prepare()",
               .expected = "an initializer and a finalizer that can travel as a task can, to the "
                           "process that was forked then",
               .found = found,
               .hint = "make it a function, or a lambda that captures by value what has no pointer "
                       "in it; have a task do it; or do not call prepare()"});
}

std::vector<std::byte> encode_plan(const PoolOptions& options) {
  if (!options.initializer.can_travel() || !options.finalizer.can_travel()) {
    refuse_functions(options,
                     "one with a pointer, a reference or allocated memory in it, or "
                     "a std::function");
  }
  const Plan plan = {.workers = options.workers,
                     .idle_ms = options.idle_time.count(),
                     .max_tasks_per_worker = options.max_tasks_per_worker,
                     .min_spare = options.min_spare,
                     .max_spare = options.max_spare,
                     .name = options.name.substr(0, 256),
                     .initializer = options.initializer.travelling(),
                     .finalizer = options.finalizer.travelling()};
  std::vector<std::byte> bytes = encode(plan);
  if (bytes.size() > kMostPlanBytes) refuse_functions(options, "captures of more than 64 KiB");
  return bytes;
}

/// Empty if nothing is prepared in this process.
UniqueFd start_prepared(const PoolMemory& memory, const PoolOptions& options,
                        const UniqueFd& commands) {
  Preparation& prepared = preparation();
  if (prepared.owner != getpid()) return {};
  const UniqueFd file = as_file(encode_plan(options));
  const UniqueFd segment = memory.segment().fd();
  const UniqueFd self = open_pidfd(getpid());
  const std::scoped_lock lock(prepared.mutex);
  UniqueFd supervisor;
  Status status = Status::ok;
  for (const UniqueFd* const fd : {&segment, &commands, &self, &file}) {
    if (status == Status::ok) status = prepared.socket->send_fd(fd->get());
  }
  if (status == Status::ok) status = prepared.socket->recv_fd(supervisor);
  if (status == Status::ok) return supervisor;
  throw Error(status, {.tried = "have a supervisor forked for the pool \"" + options.name + '"',
                       .expected = "the process that Pool::prepare() had forked"});
}

}  // namespace

void prepare_supervisors() {
  Preparation& prepared = preparation();
  const std::scoped_lock lock(prepared.mutex);
  if (prepared.owner == getpid()) return;
  FdSocketPair ends = FdSocket::pair();
  prepared.process.emplace(StartOptions{.name = "sluice-prepared", .daemon = true}, [&ends] {
    {
      const FdSocket other = std::move(ends.first);
    }
    Prepared(std::move(ends.second)).run();
  });
  prepared.socket.emplace(std::move(ends.first));
  prepared.owner = getpid();
}

SupervisorProcess::SupervisorProcess(PoolMemory& memory, const PoolOptions& options) {
  std::array<UniqueFd, 2> channel = make_channel();
  prepared_ = start_prepared(memory, options, channel[1]);
  if (!prepared_) {
    const UniqueFd self = open_pidfd(getpid());
    own_.emplace(StartOptions{.name = options.name, .daemon = true}, [&] {
      channel[0].reset();
      const int code = run_supervisor(memory, options, channel[1], self);
      if (code != EXIT_SUCCESS) _exit(code);
    });
  }
  commands_ = std::move(channel[0]);
}

void SupervisorProcess::command(const SupervisorCommand& command) const noexcept {
  // One that is not there any more is found out by who waits.
  static_cast<void>(send(commands_.get(), &command, sizeof command, MSG_NOSIGNAL));
}

bool SupervisorProcess::is_alive() const noexcept {
  pollfd watched = {
      .fd = own_ ? own_->sentinel() : prepared_.get(), .events = POLLIN, .revents = 0};
  return poll(&watched, 1, 0) == 0;
}

bool SupervisorProcess::join(Deadline deadline) {
  if (own_) return own_->join(deadline);
  for (;;) {
    pollfd watched = {.fd = prepared_.get(), .events = POLLIN, .revents = 0};
    // In slices: a time that poll(2) has no room for is waited for again.
    constexpr std::chrono::milliseconds kSlice{1000};
    const auto left = deadline.is_never() ? kSlice
                                          : std::chrono::ceil<std::chrono::milliseconds>(
                                                deadline.time() - Deadline::Clock::now());
    const auto slice = std::clamp(left, std::chrono::milliseconds(0), kSlice);
    if (poll(&watched, 1, static_cast<int>(slice.count())) > 0) return true;
    if (deadline.passed()) return false;
  }
}

void SupervisorProcess::kill() noexcept {
  if (own_) {
    own_->kill();
  } else {
    syscall(SYS_pidfd_send_signal, prepared_.get(), SIGKILL, nullptr, 0);
  }
}

}  // namespace sluice::internal
