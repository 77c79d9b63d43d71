// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/arena_cases.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/suite.h"
#include "sluice/bench/rivals/boost_managed.h"
#include "sluice/ipc/arena.h"
#include "sluice/lockfree/arena_layout.h"
#include "sluice/lockfree/chunk_arena.h"

namespace sluice::bench {
namespace {

constexpr std::size_t kChunk = 1024;
constexpr std::uint32_t kChunks = 1000;

class SluiceArena {
 public:
  using Block = ArenaRef;
  SluiceArena() : arena_({{.chunk_bytes = kChunk, .count = kChunks}}) {}
  Block allocate() { return arena_->allocate(kChunk); }
  void free(Block block) { arena_->free(block); }

 private:
  Arena arena_;
};

/// Its allocator takes a mutex of its own, a sleeping one; ours takes none, and never waits.
class BoostBlocks {
 public:
  using Block = void*;
  BoostBlocks() : managed_(2 * kChunk * kChunks) {}
  Block allocate() { return managed_.memory().allocate(kChunk); }
  void free(Block block) { managed_.memory().deallocate(block); }

 private:
  BoostManaged managed_;
};

/// Keeps `kKept` blocks, of which it frees the oldest and allocates another.
template <class Subject, std::size_t kKept>
class Turner {
 public:
  explicit Turner(Subject& subject) : subject_(subject) {
    for (auto& block : blocks_) block = subject_.allocate();
  }
  ~Turner() {
    for (auto& block : blocks_) subject_.free(block);
  }
  Turner(const Turner&) = delete;
  Turner& operator=(const Turner&) = delete;
  void turn() {
    subject_.free(blocks_[next_]);
    blocks_[next_] = subject_.allocate();
    next_ = (next_ + 1) % kKept;
  }

 private:
  Subject& subject_;
  std::array<typename Subject::Block, kKept> blocks_;
  std::size_t next_ = 0;
};

template <class Subject, std::size_t kKept>
Variant alone() {
  return {"", [] {
            auto subject = std::make_shared<Subject>();
            return Roles{[subject](Slice& slice) {
              Turner<Subject, kKept> turner(*subject);
              slice.report(0, 1e9 * slice.seconds_per_call([&] { turner.turn(); }));
            }};
          }};
}

template <class Subject, std::size_t kKept>
Variant beside_another() {
  return {"", [] {
            auto subject = std::make_shared<Subject>();
            /// 1 while the slice is under way.
            auto running = std::make_shared<InShared<std::atomic<std::uint32_t>>>();
            const auto lead = [subject, running](Slice& slice) {
              Turner<Subject, kKept> turner(*subject);
              **running = 1;
              slice.report(0, 1e9 * slice.seconds_per_call([&] { turner.turn(); }));
              **running = 2;
            };
            const auto follow = [subject, running](Slice&) {
              Turner<Subject, kKept> turner(*subject);
              while (**running == 0) continue;
              while (**running == 1) turner.turn();
              **running = 0;
            };
            return Roles{lead, follow};
          }};
}

Case in_ns(const std::string& name) {
  return {.group = "arena",
          .name = name,
          .unit = "ns",
          .better = Better::lower,
          .limit = Yardstick::pingpong};
}

template <std::size_t kKept>
void add_kept(Suite& suite) {
  const std::string name = "arena/free_allocate/" + std::to_string(kKept) + "_kept/";
  suite.add(in_ns(name + "alone"), {{"sluice", {alone<SluiceArena, kKept>()}},
                                    {"boost_managed", {alone<BoostBlocks, kKept>()}}});
  suite.add(in_ns(name + "two"), {{"sluice", {beside_another<SluiceArena, kKept>()}},
                                  {"boost_managed", {beside_another<BoostBlocks, kKept>()}}});
}

Variant handing_over() {
  return {"", [] {
            auto arena = std::make_shared<Arena>(Arena::Classes{{kChunk, kChunks}});
            return Roles{[arena](Slice& slice) {
              const ArenaRef ref = (*arena)->allocate(kChunk);
              slice.report(0, 1e9 * slice.seconds_per_call([&] {
                (*arena)->send(ref);
                static_cast<void>((*arena)->take(ref));
              }));
              (*arena)->free(ref);
            }};
          }};
}

}  // namespace

void add_arena_cases(Suite& suite) {
  add_kept<1>(suite);
  add_kept<100>(suite);
  add_kept<400>(suite);
  suite.add(in_ns("arena/send_take/alone"), {{"sluice", {handing_over()}}});
}

}  // namespace sluice::bench
