// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/ready_descriptor.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "sluice/sync/error.h"
#include "sluice/sync/futex.h"

namespace sluice::internal {
namespace {

[[noreturn]] void throw_errno() {
  throw Error::from_errno(errno, {.tried = "make a descriptor for an event loop"});
}

UniqueFd new_timer() {
  UniqueFd timer(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  const timespec slice = {.tv_sec = 0, .tv_nsec = 80'000'000};
  const itimerspec each_slice = {.it_interval = slice, .it_value = slice};
  if (!timer || timerfd_settime(timer.get(), 0, &each_slice, nullptr) != 0) throw_errno();
  return timer;
}

}  // namespace

ReadyDescriptor::ReadyDescriptor()
    : owner_(participant::self()),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      bell_(WordWatcher::new_bell()) {
  if (!epoll_) throw_errno();
  add(*bell_);
  WordWatcher::ring(*bell_);  // until a call has looked
}

ReadyDescriptor::~ReadyDescriptor() {
  if (is_of_this_process()) WordWatcher::of_this_process().forget(watch_);
}

void ReadyDescriptor::rearm(const WaitHandle& handle) {
  if (!is_of_this_process()) return;
  if (!watch_peer(handle) && handle.look(WaitHandle::Look::thorough) != Status::empty) {
    WordWatcher::ring(*bell_);
    return;
  }
  const bool watched = watch_ != WordWatcher::Watch::none && handle.event()->stands(key_);
  if (watched) return;
  WordWatcher& watcher = WordWatcher::of_this_process();
  watcher.forget(watch_);
  watch_ = WordWatcher::Watch::none;
  WordWatcher::silence(*bell_);
  key_ = handle.announce();
  if (handle.look() != Status::empty) {
    WordWatcher::ring(*bell_);
    return;
  }
  const WatchedWord word = {&handle.word(), static_cast<std::uint32_t>(key_)};
  watch_ = watcher.watch({&word, 1}, bell_);
}

void ReadyDescriptor::add(const UniqueFd& fd) {
  epoll_event event = {};
  event.events = EPOLLIN;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0) throw_errno();
}

bool ReadyDescriptor::watch_peer(const WaitHandle& handle) {
  if (peer_) {
    pollfd died = {peer_.get(), POLLIN, 0};
    if (poll(&died, 1, 0) == 0) return true;
    peer_.reset();  // if the stream goes on, another has come in its place, or will
  }
  if (timer_) {
    std::uint64_t ticks = 0;
    static_cast<void>(read(timer_.get(), &ticks, sizeof ticks) > 0);  // fails before the first tick
  }
  peer_ = handle.peer_pidfd();
  if (peer_) {
    timer_.reset();
    add(peer_);
  } else if (!timer_) {
    timer_ = new_timer();
    add(timer_);
  }
  return static_cast<bool>(peer_);
}

}  // namespace sluice::internal
