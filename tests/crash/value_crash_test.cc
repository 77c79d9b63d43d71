// SPDX-License-Identifier: Apache-2.0
//
// A value in a file: its making, and its adopting after a reboot in the midst of a store, killed at
// every system call. What a store itself leaves is in latest_crash_test.cc.

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "sluice/ipc/mapped_file.h"
#include "sluice/ipc/value.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/crash.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::CrashOperation;

/// Of 24 bytes, which follow from the number.
struct Block {
  static constexpr std::string_view kTypeName = "test.Block";
  std::array<std::int64_t, 3> words;

  static Block of(std::int64_t n) { return {{n, 2 * n, 3 * n}}; }
  bool operator==(const Block&) const = default;
};

/// Held to the end of the process: a victim that ended its part in good order would be no victim.
std::optional<Value<Block>>& kept() {
  static std::optional<Value<Block>> value;
  return value;
}

class ValueFileCrash : public testing::Test {
 protected:
  ValueFileCrash() {
    std::string made = testing::TempDir() + "value-crash-XXXXXX";
    if (mkdtemp(made.data()) == nullptr) throw std::runtime_error("mkdtemp");
    directory_ = made;
  }
  ~ValueFileCrash() override { std::filesystem::remove_all(directory_); }
  void SetUp() override { attach(); }

  [[nodiscard]] std::string path(const std::string& leaf = "level") const {
    return directory_ + "/" + leaf;
  }

  void clear() const {
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      std::filesystem::remove(entry.path());
    }
  }

  /// Nothing is there, or all of it, and anybody can go on.
  [[nodiscard]] std::string judge(bool must_be_there) const {
    const bool is_there = std::filesystem::exists(path());
    if (must_be_there && !is_there) return "acknowledged but lost";
    if (is_there && Value<Block>::open_file(path()).load() != Block::of(7)) {
      return "a value that nobody gave it";
    }
    auto value = Value<Block>::map_file(path(), Block::of(7));
    if (value.load() != Block::of(7)) return "a value that nobody gave it";
    if (value.store(Block::of(8), 1s) != Status::ok) return "nobody can store";
    value.store(Block::of(7));
    return "";
  }

  CrashOperation mapping(std::string name, std::function<void()> operation) {
    CrashOperation op{.name = std::move(name)};
    op.setup = [this] { clear(); };
    op.prepare = [] { attach(); };
    op.operation = std::move(operation);
    op.survivor = [this](bool completed) { return judge(completed); };
    return op;
  }

 private:
  std::string directory_;
};

TEST_F(ValueFileCrash, MakingOne) {
  CrashOperation op = mapping("value: map_file makes it",
                              [this] { kept() = Value<Block>::map_file(path(), Block::of(7)); });
  op.prepare_recovery = [] { attach(); };
  op.recover = [this] { kept() = Value<Block>::map_file(path(), Block::of(7)); };
  expect_intact(op, KillAt::each_system_call, 1);
}

TEST_F(ValueFileCrash, MutantThatIsStoredIntoAfterItIsNamedIsFound) {
  expect_found(mapping("mutant: value stored after its file is named",
                       [this] {
                         kept() = Value<Block>::map_file(path(), Block::of(0));
                         kept()->store(Block::of(7));
                       }),
               "a value that nobody gave it", KillAt::each_system_call);
}

/// Bytes of a file that was copied in the midst of an update, under a registry that is gone.
class ValueAdoptionCrash : public ValueFileCrash {
 protected:
  void make_held() const {
    auto value = Value<Block>::map_file(path(), Block::of(7));
    value.update([this](Block& block) {
      std::filesystem::copy_file(path(), path("held"));
      block = Block::of(9);
    });
    std::fstream file(path("held"), std::ios::in | std::ios::out | std::ios::binary);
    const std::uint64_t other = Domain::current().incarnation() + 1;
    file.seekp(MappedFile::kRegistryOffset);
    file.write(reinterpret_cast<const char*>(&other), sizeof other);
  }
  void put_held() const {
    std::filesystem::remove(path());
    std::filesystem::copy_file(path("held"), path());
  }
};

TEST_F(ValueAdoptionCrash, AdoptingOneWhoseWriterWasLost) {
  make_held();
  CrashOperation op =
      mapping("value: open_file adopts it", [this] { kept() = Value<Block>::open_file(path()); });
  op.setup = [this] { put_held(); };
  op.prepare_recovery = [] { attach(); };
  op.recover = [this] { kept() = Value<Block>::open_file(path()); };
  expect_intact(op, KillAt::each_system_call, 1);
}

TEST_F(ValueAdoptionCrash, MutantThatTellsOfTheRegistryBeforeItAdoptsIsFound) {
  make_held();
  CrashOperation op = mapping("mutant: the registry's number before the adoption", [this] {
    std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
    const std::uint64_t mine = Domain::current().incarnation();
    file.seekp(MappedFile::kRegistryOffset);
    file.write(reinterpret_cast<const char*>(&mine), sizeof mine);
    file.flush();
  });
  op.setup = [this] { put_held(); };
  expect_found(op, "nobody can store", KillAt::each_system_call);
}

}  // namespace
}  // namespace sluice::tests
