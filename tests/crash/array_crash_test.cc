// SPDX-License-Identifier: Apache-2.0
//
// Array: a change under the lock, killed at every instruction, also between two elements; and the
// making and adopting of an array in a file, killed at every system call.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sluice/ipc/array.h"
#include "sluice/ipc/mapped_file.h"
#include "sluice/ipc/shareable_list.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/owner_died.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/help.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::CrashOperation;
using testkit::KillAt;
using testkit::SharedArea;

constexpr std::size_t kCount = 4;

bool all_equal(std::span<const long> elements) {
  for (const long one : elements) {
    if (one != elements[0]) return false;
  }
  return true;
}

/// As a compiler would, one after the other.
void change(std::span<long> elements, long value) {
  for (long& one : elements) {
    one = value;
    std::atomic_signal_fence(std::memory_order_seq_cst);  // only for the compiler
  }
}

void repair(std::span<long> elements) { change(elements, elements[0]); }

// -------------------------------------------------------------------------------------------------
// Under the lock

class ArrayCrash : public testing::Test {
 protected:
  ArrayCrash() : slices_({.mode = WaitMode::block, .first_slice = 1ms, .longest_slice = 4ms}) {}

  std::string judge(bool completed) {
    try {
      if (!array_.with_lock(all_equal)) return "half a change, and nobody was told";
    } catch (const OwnerDied&) {
      static_cast<void>(array_.lock(repair));
    }
    const auto held = array_.lock();
    if (!all_equal(held.span())) return "half a change after the repair";
    if (completed && held[0] != 7) return "unlocked, but the change is not there";
    return held[0] == 7 || held[0] == 1 ? "" : "a value that nobody wrote";
  }

  CrashOperation changing(const std::string& name, Help help, std::function<void()> operation) {
    CrashOperation op{.name = name + in_words(help)};
    op.shared = {std::as_bytes(std::span(&array_.mutex(), 1)), std::as_bytes(array_.span())};
    op.setup = [this] {
      static_cast<void>(array_.mutex().reset());
      array_.fill(1);
    };
    op.prepare = [this, help] {
      attach_with(help);
      static_cast<void>(array_.lock());
    };
    op.operation = std::move(operation);
    op.survivor = [this](bool completed) { return judge(completed); };
    op.interfere = [this] {
      const Status status = array_.mutex().acquire(15ms);
      if (status == Status::timeout) return;
      if (status != Status::ok) throw std::logic_error("a living owner was taken for dead");
      const bool whole = all_equal(array_.span());
      array_.mutex().unlock();
      if (!whole) throw std::logic_error("two owners at once");
    };
    op.prepare_recovery = [help] { attach_with(help); };
    op.recover = [this] { static_cast<void>(array_.lock(repair)); };
    return op;
  }

  ScopedWaitPolicy slices_;
  Array<long> array_ = Array<long>(kCount);
};

TEST_F(ArrayCrash, AChangeUnderTheLock) {
  expect_intact(changing("array: change under the lock", Help::kernel, [this] {
    array_.with_lock([](std::span<long> all) { change(all, 7); });
  }));
}

TEST_F(ArrayCrash, AChangeUnderTheLockWithoutTheKernelsHelp) {
  expect_intact(changing("array: change under the lock", Help::none, [this] {
    array_.with_lock([](std::span<long> all) { change(all, 7); });
  }));
}

TEST_F(ArrayCrash, MutantThatChangesBesideTheLockIsFound) {
  expect_found(changing("mutant: array changed beside its lock", Help::kernel,
                        [this] {
                          static_cast<void>(array_.lock());
                          change(array_.span(), 7);
                        }),
               "half a change");
}

// -------------------------------------------------------------------------------------------------
// An item of a list

TEST(ShareableListCrash, SetLeavesTheOldValueOrTheNewOne) {
  const ShareableList list({"one", "of long ago"});
  const ListItem before = "of long ago";
  const ListItem after = Bytes(16, std::byte{7});
  const auto judge = [&](bool completed) -> std::string {
    const ListItem found = list[1];
    if (completed && found != after) return "acknowledged but lost";
    if (found != before && found != after) return "half an item: " + item_text(found);
    list[1] = "and on";
    return list[0] == ListItem("one") && list[1] == ListItem("and on") ? "" : "it does not go on";
  };
  CrashOperation op{.name = "shareable_list: set"};
  op.setup = [&] { list.set(1, before); };
  op.prepare = [&] {
    attach_with(Help::kernel);
    static_cast<void>(list.get(0));
  };
  op.operation = [&] { list.set(1, after); };
  op.survivor = judge;
  // Every instruction, since the list does not tell where its bytes are; so one death only.
  expect_intact(op);
}

TEST(ShareableListCrash, MutantThatWritesInPlaceIsFound) {
  const Array<long> in_place({1, 1, 1, 1});  // what a list without second values would do
  CrashOperation op{.name = "mutant: item written in place"};
  op.shared = {std::as_bytes(in_place.span())};
  op.setup = [&] { in_place.fill(1); };
  op.prepare = [] { attach_with(Help::kernel); };
  op.operation = [&] {
    const auto held = in_place.lock();
    change(held.span(), 7);
  };
  op.survivor = [&](bool) -> std::string {
    return in_place.lock([](std::span<long>) {}).span()[0] == in_place[3] ? "" : "half an item";
  };
  expect_found(op, "half an item");
}

// -------------------------------------------------------------------------------------------------
// In a file

/// Held to the end of the process: a victim that ended its part in good order would be no victim.
std::optional<Array<long>>& kept() {
  static std::optional<Array<long>> array;
  return array;
}

class ArrayFileCrash : public testing::Test {
 protected:
  ArrayFileCrash() {
    std::string made = testing::TempDir() + "array-crash-XXXXXX";
    if (mkdtemp(made.data()) == nullptr) throw std::runtime_error("mkdtemp");
    directory_ = made;
  }
  ~ArrayFileCrash() override { std::filesystem::remove_all(directory_); }
  void SetUp() override { attach(); }

  [[nodiscard]] std::string path() const { return directory_ + "/levels"; }

  [[nodiscard]] int count() const {
    int found = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory_)) {
      ++found;
    }
    return found;
  }

  void clear() const {
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      std::filesystem::remove(entry.path());
    }
  }

  /// Nothing is there, or all of it, and anybody can go on.
  [[nodiscard]] std::string judge(bool must_be_there) const {
    if (must_be_there && count() != 1) return "acknowledged but lost";
    if (count() > 1) return "something is left beside it";
    if (count() == 1 && !is_whole(Array<long>::open_file(path()))) return "half an array";
    const auto array = Array<long>::map_file(path(), kWhole);
    return is_whole(array) ? "" : "half an array was mapped";
  }

  static bool is_whole(const Array<long>& array) {
    return array.size() == kCount && all_equal(array.span()) && array[0] == 7;
  }

  CrashOperation mapping(std::string name, std::function<void()> before,
                         std::function<void()> operation) {
    CrashOperation op{.name = std::move(name)};
    op.setup = [this, before = std::move(before)] {
      clear();
      before();
      *acknowledged_ = 0;
    };
    op.prepare = [] { attach(); };
    op.operation = [this, operation = std::move(operation)] {
      operation();
      *acknowledged_ = 1;
    };
    op.survivor = [this](bool completed) { return judge(completed || *acknowledged_ != 0); };
    return op;
  }

  static constexpr std::array<long, kCount> kWhole = {7, 7, 7, 7};
  SharedArea<std::atomic<int>> acknowledged_;
  std::string directory_;
};

TEST_F(ArrayFileCrash, MakingOne) {
  CrashOperation op = mapping(
      "array: map_file makes it", [] {},
      [this] { kept() = Array<long>::map_file(path(), kWhole); });
  op.interfere = [this] {
    if (!is_whole(Array<long>::map_file(path(), kWhole))) throw std::logic_error("half an array");
  };
  op.prepare_recovery = [] { attach(); };
  op.recover = [this] { kept() = Array<long>::map_file(path(), kWhole); };
  expect_intact(op, KillAt::each_system_call, 1);
}

/// Of a Mutex (sync/mutex.h).
constexpr std::size_t kIncarnationOffset = 8;

/// The file of an array, as this process sees it.
class Image {
 public:
  explicit Image(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CLOEXEC)) {
    const auto size = static_cast<std::size_t>(lseek(fd_.get(), 0, SEEK_END));
    void* const at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
    if (at == MAP_FAILED) throw std::runtime_error("mmap");
    bytes_ = {static_cast<std::byte*>(at), size};
  }
  ~Image() { munmap(bytes_.data(), bytes_.size()); }
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  /// As it was while the lock was held; and under a registry that is gone, as after a reboot.
  void put(const std::vector<std::byte>& held) const {
    std::copy(held.begin(), held.end(), bytes_.begin());
    const std::uint64_t other = Domain::current().incarnation() + 1;
    std::memcpy(&bytes_[MappedFile::kRegistryOffset], &other, sizeof other);
    bytes_[kObjectOffset + kIncarnationOffset] ^= std::byte{1};
  }

 private:
  UniqueFd fd_;
  std::span<std::byte> bytes_;
};

TEST_F(ArrayFileCrash, AdoptingOneWhoseOwnerWasLost) {
  std::optional<Array<long>> made = Array<long>::map_file(path(), kWhole);
  const Image image(path());
  made->mutex().lock();
  const std::vector<std::byte> held(image.bytes().begin(), image.bytes().end());
  made->mutex().unlock();
  made.reset();
  CrashOperation op{.name = "array: open_file adopts it"};
  op.shared = {image.bytes()};
  op.setup = [&] { image.put(held); };
  op.prepare = [] { attach(); };
  op.operation = [this] { kept() = Array<long>::open_file(path()); };
  op.survivor = [this](bool) -> std::string {
    const auto array = Array<long>::open_file(path());
    try {
      static_cast<void>(array.lock());
    } catch (const OwnerDied&) {
      return is_whole(array) ? "" : "adopting has changed the elements";
    }
    return "the owner's death is forgotten";
  };
  op.prepare_recovery = [] { attach(); };
  op.recover = [this] { kept() = Array<long>::open_file(path()); };
  expect_intact(op, KillAt::each_system_call, 1);
  image.put(held);
  const std::vector<std::byte> foreign(&image.bytes()[kObjectOffset],
                                       &image.bytes()[kObjectOffset + sizeof(Mutex)]);
  CrashOperation alone{.name = "mutex: adopt"};
  SharedArea<Mutex> mutex;
  alone.shared = {mutex.bytes()};
  alone.setup = [&] {
    std::memcpy(static_cast<void*>(mutex.operator->()), foreign.data(), sizeof(Mutex));
  };
  alone.prepare = [] { attach_with(Help::kernel); };
  alone.operation = [&] { mutex->adopt(); };
  alone.survivor = [&](bool) -> std::string {
    mutex->adopt();
    return mutex->acquire(2s) == Status::owner_died ? "" : "the owner's death is forgotten";
  };
  expect_intact(alone);
  alone.name = "mutant: mutex reset, not adopted";
  alone.operation = [&] { static_cast<void>(mutex->reset()); };
  expect_found(alone, "forgotten");
}

TEST_F(ArrayFileCrash, MutantThatFillsItAfterItIsNamedIsFound) {
  expect_found(mapping(
                   "mutant: array filled after its file is named", [] {},
                   [this] {
                     kept() = Array<long>::map_file(path(), kCount);
                     change(kept()->span(), 7);
                   }),
               "half an array", KillAt::each_system_call);
}

}  // namespace
}  // namespace sluice::tests
