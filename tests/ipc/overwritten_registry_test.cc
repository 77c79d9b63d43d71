// SPDX-License-Identifier: Apache-2.0
//
// Random bytes are written over the registry while eight processes lock, send and receive: nothing
// is taken from anybody who lives, and nothing is lost.

#include <gtest/gtest.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <random>

#include "sluice/ipc/pipe.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/registry_format.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/own_domain.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

constexpr int kMessages = 20000;
constexpr int kLockers = 4;

struct Shared {
  Mutex mutex;
  std::atomic<int> inside;
  std::atomic<int> attached, done;
};

/// The whole file, header included, for as long as the others are at work.
void scribble(const std::atomic<int>& done, int all) {
  const UniqueFd registry = Domain::current().open_registry();
  std::mt19937_64 random(23);
  while (done < all) {
    const std::uint64_t bytes = random();
    ASSERT_TRUE(internal::write_at(registry.get(), &bytes, sizeof bytes,
                                   static_cast<off_t>(random() % 64 * 8)));
    ASSERT_TRUE(internal::write_at(registry.get(), &bytes, sizeof bytes,
                                   static_cast<off_t>(random() % 8192)));
  }
}

void lock_and_unlock(Shared& shared) {
  // Short slices: many waiters ask whether the owner lives.
  set_wait_policy({.mode = WaitMode::block, .first_slice = 1ms, .longest_slice = 1ms});
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(shared.mutex.acquire(20s), Status::ok) << "a living owner was taken for dead";
    EXPECT_EQ(++shared.inside, 1);
    // So that others wait for longer than a slice.
    const auto until = std::chrono::steady_clock::now() + (i % 20 == 0 ? 5ms : 0ms);
    while (std::chrono::steady_clock::now() < until) continue;
    --shared.inside;
    shared.mutex.unlock();
  }
}

TEST(OverwrittenRegistry, NothingIsTakenFromTheLiving) {
  const OwnDomain own;
  ChildParty family([&] {
    own.enter();
    const testkit::SharedArea<Shared> shared;
    Pipe first = Pipe::create(1 << 12), second = Pipe::create(1 << 12);
    std::deque<ChildParty> party;
    const auto add = [&](const std::function<void()>& work) {
      party.emplace_back([&] {
        attach();  // before the first byte is overwritten: a later one may be refused
        ++shared->attached;
        work();
        ++shared->done;
      });
    };
    for (int i = 0; i < kLockers; ++i) add([&] { lock_and_unlock(*shared); });
    for (Pipe* pipe : {&first, &second}) {
      add([pipe] {
        for (int i = 0; i < kMessages; ++i) ASSERT_EQ(pipe->sender.send(i), Status::ok);
      });
      add([pipe] {
        for (int i = 0; i < kMessages; ++i) ASSERT_EQ(pipe->receiver.recv<int>(), i);
      });
    }
    const int all = static_cast<int>(party.size());
    while (shared->attached < all) continue;
    scribble(shared->done, all);
    for (ChildParty& child : party) child.finish();
  });
  family.finish();
}

}  // namespace
}  // namespace sluice::tests
