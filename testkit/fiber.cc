// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/fiber.h"

#include <cxxabi.h>
#include <pthread.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <utility>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLUICE_FIBER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define SLUICE_FIBER_ASAN 1
#endif
#if defined(SLUICE_FIBER_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif

namespace sluice::internal {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kStackBytes = 64 * kPage;

}  // namespace

Fiber::Fiber() : begun_(true) {
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
    void* lowest = nullptr;
    pthread_attr_getstack(&attributes, &lowest, &stack_bytes_);
    stack_ = lowest;
    pthread_attr_destroy(&attributes);
  }
}

Fiber::Fiber(std::function<void()> body) : body_(std::move(body)), stack_bytes_(kStackBytes) {
  mapping_ = mmap(nullptr, kPage + kStackBytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping_ == MAP_FAILED) {
    throw std::system_error(errno, std::generic_category(), "sluice testkit: a fiber's stack");
  }
  mprotect(mapping_, kPage, PROT_NONE);
  char* const stack = static_cast<char*>(mapping_) + kPage;
  stack_ = stack;
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack;
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  const auto self = reinterpret_cast<std::uintptr_t>(this);
  // makecontext(3) passes ints only.
  makecontext(&context_, reinterpret_cast<void (*)()>(&Fiber::enter), 2,
              static_cast<unsigned int>(self >> 32), static_cast<unsigned int>(self));
}

Fiber::~Fiber() {
  if (mapping_ == nullptr) return;
  munmap(mapping_, kPage + kStackBytes);
}

void Fiber::enter(unsigned int high, unsigned int low) noexcept {
  const std::uintptr_t self = std::uintptr_t{high} << 32 | low;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): makecontext(3) hands over nothing but ints
  reinterpret_cast<Fiber*>(self)->run();
}

void Fiber::run() noexcept {
  enter_sanitizer();
  begun_ = true;
  // Each longjmp of switch_to() arrives here.
  static_cast<void>(_setjmp(base_));
  body_();
  __builtin_trap();  // a body does not return
}

void Fiber::restart() noexcept {
  restarts_ = begun_;
  exceptions_ = {};
}

void Fiber::switch_to(Fiber& to) noexcept {
  void* const globals = abi::__cxa_get_globals();
  std::memcpy(&exceptions_, globals, sizeof exceptions_);
  std::memcpy(globals, &to.exceptions_, sizeof to.exceptions_);
  leave_sanitizer(to);
  swapcontext(&context_, &to.context_);
  enter_sanitizer();
  if (std::exchange(restarts_, false)) _longjmp(base_, 1);
}

void Fiber::leave_sanitizer([[maybe_unused]] Fiber& to) noexcept {
#if defined(SLUICE_FIBER_ASAN)
  __sanitizer_start_switch_fiber(&fake_stack_, to.stack_, to.stack_bytes_);
#endif
}

void Fiber::enter_sanitizer() noexcept {
#if defined(SLUICE_FIBER_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
}

}  // namespace sluice::internal
