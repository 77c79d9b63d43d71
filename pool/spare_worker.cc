// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/spare_worker.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "sluice/pool/log.h"
#include "sluice/pool/start_options.h"
#include "sluice/pool/this_process.h"
#include "sluice/sync/error.h"

namespace sluice::internal {

/// Below PIPE_BUF: written and read in one piece.
struct SpareWorker::Order {
  std::size_t place;
  std::array<char, 256> name;
};

SpareWorker::SpareWorker(const std::string& name, std::function<int(std::size_t)> work) {
  std::array<int, 2> ends = {};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw Error::from_errno(errno, {.tried = "make a pipe to a spare worker"});
  }
  read_end_ = UniqueFd(ends[0]);
  write_end_ = UniqueFd(ends[1]);
  process_ = fork_worker(name, [this, work = std::move(work)] {
    write_end_.reset();
    Order order = {};
    ssize_t size = 0;
    do {
      size = read(read_end_.get(), &order, sizeof order);
    } while (size < 0 && errno == EINTR);
    if (size != sizeof order) return EXIT_SUCCESS;  // not needed any more
    read_end_.reset();
    order.name.back() = '\0';
    rename_process(order.name.data());
    set_log_process_name(order.name.data());
    prctl(PR_SET_NAME, order.name.data());
    return work(order.place);
  });
  read_end_.reset();
}

SpareWorker::~SpareWorker() {
  // Workers that were forked since may hold copies of the write end, so that closing it tells
  // nobody.
  if (process_ != nullptr) process_->kill();
}

std::unique_ptr<Process> SpareWorker::assign(std::size_t place, const std::string& name) {
  Order order = {.place = place, .name = {}};
  name.copy(order.name.data(), order.name.size() - 1);
  // One that is dead already does not read it: its sentinel says so, to whoever has the process.
  static_cast<void>(!write(write_end_.get(), &order, sizeof order));
  write_end_.reset();
  return std::move(process_);
}

bool SpareWorker::pays() {
  constexpr long kMuch = 32L << 20;
  std::ifstream statm("/proc/self/statm");
  long all = 0;
  long resident = 0;
  long shared = 0;
  statm >> all >> resident >> shared;
  return !statm.fail() && (resident - shared) * sysconf(_SC_PAGESIZE) > kMuch;
}

std::unique_ptr<Process> fork_worker(const std::string& name, std::function<int()> work) {
  const pid_t supervisor = getpid();
  return std::make_unique<Process>(StartOptions{.name = name, .daemon = true},
                                   [supervisor, work = std::move(work)] {
                                     // A task may close descriptors that it does not know, and with
                                     // them a daemon's lifeline. The supervisor has one thread, so
                                     // that this means its process.
                                     prctl(PR_SET_PDEATHSIG, SIGKILL);
                                     if (getppid() != supervisor) _exit(EXIT_FAILURE);
                                     const int code = work();
                                     if (code != EXIT_SUCCESS) _exit(code);
                                   });
}

}  // namespace sluice::internal
