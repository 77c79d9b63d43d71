// SPDX-License-Identifier: Apache-2.0
//
// Making, finding, leaving and cleaning up named objects, killed before and after each system call.
// That is every point that matters: until an object has its name, its bytes are the creator's alone
// and die with it, and afterwards these operations write none.

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "sluice/ipc/fingerprint.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/shared.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/kill_table.h"
#include "sluice/tests/support/refused_call.h"

namespace sluice::tests {
namespace {

using testkit::CrashOperation;
using testkit::KillAt;
using testkit::SharedArea;

constexpr const char* kName = "made";

/// Nobody may ever see one that was not constructed.
struct Whole {
  static constexpr std::string_view kTypeName = "test.Whole";
  std::uint64_t number = 0x0123456789abcdef;
  std::uint64_t its_complement = ~number;

  [[nodiscard]] bool is_whole() const { return number != 0 && its_complement == ~number; }
};

/// Held to the end of the process: a victim that ended its part in good order would be no victim.
std::optional<Shared<Whole>>& kept() {
  static std::optional<Shared<Whole>> shared;
  return shared;
}

class SegmentCrash : public testing::Test {
 protected:
  void SetUp() override {
    attach();
    {
      const auto shared = Shared<Whole>::create(kName);
      stale_ = bytes_of(path());
    }
    {
      const auto shared = Shared<Whole>::create(kName, until_removed());
      lasting_ = bytes_of(path());
    }
    remove_all();
  }
  void TearDown() override { remove_all(); }

  static SegmentOptions until_removed() { return {.lifetime = Lifetime::until_removed}; }
  static std::string path() { return Domain::current().path() + "/obj-" + kName; }

  static std::string bytes_of(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }

  /// An object as one whose users were all killed have left it.
  static void put(const std::string& bytes) {
    std::ofstream(path(), std::ios::binary) << bytes;
    std::filesystem::permissions(path(), std::filesystem::perms(0600));
  }

  static int count(std::string_view prefix) {
    int found = 0;
    for (const auto& file : std::filesystem::directory_iterator(Domain::current().path())) {
      if (file.path().filename().string().starts_with(prefix)) ++found;
    }
    return found;
  }

  static void remove_all() {
    for (const auto& file : std::filesystem::directory_iterator(Domain::current().path())) {
      const std::string name = file.path().filename().string();
      if (name.starts_with("obj-") || name.starts_with("new-")) {
        std::filesystem::remove(file.path());
      }
    }
  }

  /// Everything is as before, or whole, and anybody can go on.
  std::string judge(bool must_be_there) const {
    if (must_be_there && count("obj-") != 1) return "acknowledged but lost";
    if (std::string fault = look(); !fault.empty()) return fault;
    const auto shared = Shared<Whole>::open_or_create(kName, until_removed());
    if (!shared->is_whole()) return "open_or_create gave half an object";
    static_cast<void>(remove_stale());
    if (count("new-") != 0) return "an unfinished file is left";
    return count("obj-") == 1 ? "" : "more than the object is left";
  }

  /// What an open() finds.
  static std::string look() {
    try {
      return Shared<Whole>::open(kName)->is_whole() ? "" : "half an object was opened";
    } catch (const Error& e) {
      const bool in_order =
          e.code() == Status::stale || e.code() == std::errc::no_such_file_or_directory;
      return in_order ? "" : std::string("open: ") + e.what();
    }
  }

  /// An operation that ends with an object in use by the victim; `before` sets the stage.
  CrashOperation making(std::string name, std::function<void()> before,
                        std::function<void()> operation) {
    CrashOperation op{.name = std::move(name)};
    op.setup = [this, before = std::move(before)] {
      remove_all();
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

  /// Gives an operation another process that comes while the victim is frozen, and one that comes
  /// after it and is killed as well.
  static void with_others(CrashOperation& op) {
    op.interfere = [] {
      try {
        const auto shared = Shared<Whole>::open_or_create(kName, until_removed());
        if (!shared->is_whole()) throw std::logic_error("half an object");
      } catch (const Error& e) {
        // The victim may be frozen in the moment in which it makes sure that nobody uses it.
        if (e.code() != Status::busy) throw;
      }
    };
    op.prepare_recovery = [] { attach(); };
    op.recover = [] { kept() = Shared<Whole>::open_or_create(kName, until_removed()); };
  }

  SharedArea<std::atomic<int>> acknowledged_;
  std::string stale_, lasting_;
};

TEST_F(SegmentCrash, Create) {
  CrashOperation op = making(
      "creating a named object", [] {},
      [] { kept() = Shared<Whole>::create(kName, until_removed()); });
  with_others(op);
  expect_intact(op, KillAt::each_system_call, 1);
}

TEST_F(SegmentCrash, CreateInThePlaceOfAStaleOne) {
  expect_intact(making(
                    "creating over a stale object", [this] { put(stale_); },
                    [] { kept() = Shared<Whole>::create(kName, until_removed()); }),
                KillAt::each_system_call);
}

TEST_F(SegmentCrash, OpenOrCreateWhereAStaleOneIs) {
  CrashOperation op = making(
      "open_or_create over a stale object", [this] { put(stale_); },
      [] { kept() = Shared<Whole>::open_or_create(kName, until_removed()); });
  with_others(op);
  expect_intact(op, KillAt::each_system_call, 1);
}

TEST_F(SegmentCrash, OpenOneThatLasts) {
  CrashOperation op = making(
      "opening an object", [this] { put(lasting_); }, [] { kept() = Shared<Whole>::open(kName); });
  op.survivor = [this](bool) { return judge(true); };
  with_others(op);
  expect_intact(op, KillAt::each_system_call, 1);
}

TEST_F(SegmentCrash, CreateWhereFilesMustHaveAName) {
  CrashOperation op = making(
      "creating a named object, early name", [] {},
      [] { kept() = Shared<Whole>::create(kName, until_removed()); });
  op.prepare = [] {
    attach();
    refuse_calls({{.number = SYS_linkat, .error = EPERM}});
  };
  expect_intact(op, KillAt::each_system_call);
}

TEST_F(SegmentCrash, Leave) {
  CrashOperation op = making("leaving an object", [] {}, [] { kept().reset(); });
  op.prepare = [] { kept() = Shared<Whole>::create(kName); };
  op.survivor = [this](bool) { return judge(false); };
  expect_intact(op, KillAt::each_system_call);
}

TEST_F(SegmentCrash, RemoveStale) {
  CrashOperation op = making(
      "removing stale objects", [this] { put(stale_); },
      [] {
        if (remove_stale().size() != 1) throw std::logic_error("the stale object was not removed");
      });
  op.survivor = [this](bool) { return judge(false); };
  expect_intact(op, KillAt::each_system_call);
}

// -------------------------------------------------------------------------------------------------
// Mutants

constexpr SegmentKind kKind = {.name = "shared",
                               .version = Shared<Whole>::kVersion,
                               .fingerprint = type_fingerprint<Whole>(),
                               .type = Whole::kTypeName};

TEST_F(SegmentCrash, MutantThatConstructsAfterItIsNamedIsFound) {
  expect_found(making(
                   "mutant: object constructed after it is named", [] {},
                   [] {
                     static std::optional<Segment> segment;
                     segment = Segment::create(kName, kKind, sizeof(Whole), until_removed(),
                                               [](std::span<std::byte>) {});
                     ::new (segment->object().data()) Whole();
                   }),
               "half an object", KillAt::each_system_call);
}

TEST_F(SegmentCrash, MutantThatFillsAFileInPlaceIsFound) {
  expect_found(making(
                   "mutant: file filled in place", [] {}, [this] { put(lasting_); }),
               "open: ", KillAt::each_system_call);
}

}  // namespace
}  // namespace sluice::tests
