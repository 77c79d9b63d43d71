// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/partner_process.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <system_error>
#include <thread>

namespace sluice::internal {
namespace {

constexpr const char* kWho = "the partner";
constexpr std::uint64_t kForAllTime = 1U << 30;

bool poll_until(const auto& condition, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  return true;
}

void signal(int fd, std::uint64_t count) {
  // It fails only if the count overflows, which takes 2^33 blocked calls.
  static_cast<void>(write(fd, &count, sizeof count) == sizeof count);
}

}  // namespace

PartnerProcess::PartnerProcess(const Body& body, std::chrono::milliseconds limit)
    : limit_(limit), signals_(eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC)) {
  if (signals_ == -1) {
    throw std::system_error(errno, std::system_category(), "signalling the partner");
  }
  child_.emplace([&] { run(body); });
  const auto is_ready = [&] {
    // Relaxed: settle() looks at the process itself. Pairs with Partner::ready().
    return shared_->ready.load(std::memory_order_relaxed) != 0 ||
           child_->wait_for_end(std::chrono::milliseconds(0));
  };
  if (poll_until(is_ready, limit)) settle();
}

PartnerProcess::~PartnerProcess() {
  child_.reset();
  close(signals_);
}

void PartnerProcess::run(const Body& body) noexcept {
  const auto checked = [&] {
    testkit::Partner partner(*this);
    body(partner);
    return std::string();
  };
  give_answer(kWho, checked, shared_->answer);
}

void PartnerProcess::victim_blocks() const { signal(signals_, 1); }

void PartnerProcess::settle() const {
  static_cast<void>(poll_until([&] { return child_->sleeps(); }, limit_));
}

std::string PartnerProcess::finish() {
  // Release: pairs with victim_is_dead(); whoever sees it sees that the victim has been reaped.
  shared_->victim_is_dead.store(1, std::memory_order_release);
  signal(signals_, kForAllTime);
  return take_answer(kWho, *child_, limit_, shared_->answer);
}

}  // namespace sluice::internal

namespace sluice::testkit {

// Relaxed: pairs with the constructor of PartnerProcess, which only waits for it.
void Partner::ready() { process_.shared_->ready.store(1, std::memory_order_relaxed); }

bool Partner::wait_until_blocked() {
  ready();
  std::uint64_t one = 0;
  while (read(process_.signals_, &one, sizeof one) == -1 && errno == EINTR) {
  }
  return !victim_is_dead();
}

bool Partner::victim_is_dead() const noexcept {
  // Acquire: pairs with PartnerProcess::finish().
  return process_.shared_->victim_is_dead.load(std::memory_order_acquire) != 0;
}

}  // namespace sluice::testkit
