// SPDX-License-Identifier: Apache-2.0
//
// What a message through a pipe costs in system calls: none, while nobody has to wait. And that the
// pipe works where membarrier(2) is refused.

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include "sluice/ipc/connection.h"
#include "sluice/ipc/pipe.h"
#include "sluice/pool/process.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

/// For the bodies of Process, whose failures GoogleTest does not see: ends the child with code 1.
void require(bool condition, const char* what) {
  if (!condition) throw std::logic_error(what);
}

/// From here on this process may write to open descriptors and exit; any other system call kills
/// it with SIGSYS.
void allow_only_exit() {
  const auto allow = [](unsigned number) {
    return std::array<sock_filter, 2>{sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
                                      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  };
  const auto a = allow(SYS_exit_group);
  const auto b = allow(SYS_write);
  std::array<sock_filter, 6> rules = {
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      a[0],
      a[1],
      b[0],
      b[1],
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
  const sock_fprog program = {.len = rules.size(), .filter = rules.data()};
  require(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges");
  require(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0, "seccomp");
}

/// As if the kernel had no membarrier(2).
void refuse_membarrier() {
  std::array<sock_filter, 4> rules = {
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog program = {.len = rules.size(), .filter = rules.data()};
  require(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges");
  require(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0, "seccomp");
}

/// Messages to and fro within one process, never so that anybody would have to wait.
bool exchange(Sender& tx, Receiver& rx, int count) {
  std::array<std::byte, 200> out = {};
  std::array<std::byte, 200> in = {};
  bool good = true;
  for (int i = 0; good && i < count; ++i) {
    const auto size = static_cast<std::size_t>(i % 200);
    int value = 0;
    good = tx.try_send(i) == Status::ok && rx.try_recv(value) == Status::ok && value == i &&
           tx.send(i) == Status::ok && rx.recv(value) == Status::ok &&
           tx.send(std::span(out).first(size)) == Status::ok && rx.poll(Deadline::never()) &&
           rx.recv_into(in).size == size && rx.try_recv(value) == Status::empty;
  }
  return good;
}

TEST(PipeCost, NoSystemCallPerMessageInSteadyState) {
  auto [rx, tx] = Pipe::create(1 << 12);
  Process child("quiet", [r = &rx, t = &tx] {
    require(exchange(*t, *r, 100), "warm up");
    allow_only_exit();
    // 500 looks at an empty pipe: fewer than it takes until one of them asks the kernel.
    _exit(exchange(*t, *r, 500) ? 0 : 2);
  });
  child.join();
  EXPECT_EQ(child.exit_code(), 0) << "-31 is SIGSYS: a system call";
}

TEST(PipeCost, NoSystemCallPerMessageOverAHundredThousandMessages) {
  auto [rx, tx] = Pipe::create(1 << 12);
  Process child("quiet", [r = &rx, t = &tx] {
    int value = 0;
    require(exchange(*t, *r, 100), "warm up");
    allow_only_exit();
    for (int i = 0; i < 100000; ++i) {
      for (int k = 0; k < 3; ++k) {
        if ((k == 0 ? t->try_send(i) : t->send(i)) != Status::ok) _exit(2);
      }
      for (int k = 0; k < 3; ++k) {
        if ((k == 0 ? r->try_recv(value) : r->recv(value)) != Status::ok || value != i) _exit(3);
      }
    }
    _exit(0);
  });
  child.join();
  EXPECT_EQ(child.exit_code(), 0) << "-31 is SIGSYS: a system call";
}

TEST(ConnectionCost, NoSystemCallPerMessageInPlaceOrThroughACodec) {
  auto [first, second] = Connection::pair(1 << 12);
  Process child("quiet", [a = &first, b = &second] {
    std::vector<std::uint64_t> numbers(50, 7);
    std::vector<std::uint64_t> received(50);
    const auto exchange_once = [&](Connection& from, Connection& to) {
      if (from.send(numbers) != Status::ok || to.recv(received) != Status::ok) return false;
      auto room = from.reserve(100);
      room.commit();
      auto message = to.peek();
      if (message.bytes().size() != 100) return false;
      message.release();
      return received == numbers;
    };
    require(exchange_once(*a, *b) && exchange_once(*b, *a), "warm up");
    allow_only_exit();
    for (int i = 0; i < 20000; ++i) {
      if (!exchange_once(*a, *b) || !exchange_once(*b, *a)) _exit(2);
    }
    _exit(0);
  });
  child.join();
  EXPECT_EQ(child.exit_code(), 0) << "-31 is SIGSYS: a system call";
}

TEST(PipeCost, TheFilterOfThisTestBites) {
  auto [rx, tx] = Pipe::create(1 << 12);
  Process child("loud", [r = &rx] {
    require(!r->poll(), "empty");
    allow_only_exit();
    _exit(r->poll(1ms) ? 2 : 3);
  });
  child.join();
  EXPECT_EQ(child.exit_code(), -SIGSYS) << "a wait on an empty pipe does make system calls";
}

TEST(PipeCost, WithoutMembarrierEverythingWorksToo) {
  auto [rx, tx] = Pipe::create(256);
  auto [back_rx, back_tx] = Pipe::create(256);
  Process child("no-membarrier", [r = &rx, b = &back_tx] {
    refuse_membarrier();
    std::int64_t sum = 0;
    while (const auto value = r->recv<int>()) {
      sum += *value;
      require(b->send(sum) == Status::ok, "send");
    }
    b->close();  // told to the peer at once, not when the object goes
    for (;;) pause();
  });
  std::int64_t sum = 0;
  for (int i = 0; i < 3000; ++i) {
    sum += i;
    ASSERT_EQ(tx.send(i), Status::ok);
    ASSERT_EQ(back_rx.recv<std::int64_t>(), sum);
  }
  tx.close();
  std::int64_t none = 0;
  EXPECT_EQ(back_rx.recv(none, 5s), Status::closed);
  child.kill();
}

}  // namespace
}  // namespace sluice::tests
