// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/lifeline.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <thread>

#include "sluice/sync/error.h"

namespace sluice::internal {
namespace {

bool is_cut(int watched, int timeout) noexcept {
  struct pollfd end = {.fd = watched, .events = POLLIN, .revents = 0};
  return poll(&end, 1, timeout) > 0;
}

void die() noexcept {
  kill(getpid(), SIGKILL);
  _exit(EXIT_FAILURE);  // the first process of a pid namespace does not take it
}

}  // namespace

std::array<UniqueFd, 2> make_pipe(const char* purpose) {
  std::array<int, 2> ends = {};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw Error::from_errno(errno, {.tried = std::string("start a process: make ") + purpose});
  }
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

bool tie_to_lifeline(int watched) noexcept {
  const int flags = fcntl(watched, F_GETFL);
  const bool tied = flags >= 0 && fcntl(watched, F_SETOWN, getpid()) == 0 &&
                    fcntl(watched, F_SETSIG, SIGKILL) == 0 &&
                    fcntl(watched, F_SETFL, flags | O_ASYNC) == 0 &&
                    // A kernel that does not know it for pipes says nothing (gVisor).
                    (fcntl(watched, F_GETFL) & O_ASYNC) != 0;
  // After it was tied: an end between the two is not missed.
  if (tied && is_cut(watched, 0)) die();
  return tied;
}

void watch_lifeline_by_thread(int watched) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // inherited: the host's handlers do not run there
  std::thread([watched] {
    while (!is_cut(watched, -1)) continue;
    die();
  }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace sluice::internal
