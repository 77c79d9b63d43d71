// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/segment_options.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "sluice/ipc/inspect.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/stamp.h"
#include "sluice/pool/process.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/child_party.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using tests::ChildParty;
using tests::error_of;
using tests::Gate;

constexpr SegmentKind kKind = {.name = "probe", .version = 3, .fingerprint = 0xabc};
constexpr std::size_t kBytes = 10'000;

void leave_zero(std::span<std::byte>) {}

Segment create(std::string_view name, const SegmentOptions& options, std::size_t bytes = kBytes) {
  return Segment::create(name, kKind, bytes, options, leave_zero);
}

std::string path_of(const std::string& name) { return Domain::current().path() + "/obj-" + name; }

bool exists(const std::string& name) { return std::filesystem::exists(path_of(name)); }

mode_t mode_of(const std::string& path) {
  struct stat s = {};
  EXPECT_EQ(stat(path.c_str(), &s), 0);
  return s.st_mode & 07777;
}

// -------------------------------------------------------------------------------------------------
// Permissions

TEST(SegmentMode, IsTheOwnersAloneWhateverTheUmask) {
  for (const mode_t mask : {0777U, 0U}) {
    ChildParty child([mask] {
      attach();  // making a domain, too, depends on the umask
      umask(mask);
      const Segment named = create("private", {});
      EXPECT_EQ(mode_of(path_of("private")), 0600U);
      const Segment anonymous = Segment::create_anonymous(kKind, kBytes, leave_zero);
      EXPECT_EQ(mode_of("/proc/self/fd/" + std::to_string(anonymous.fd().get())), 0600U);
    });
    child.finish();
  }
}

TEST(SegmentMode, IsWhatTheCreatorWants) {
  const Segment made = create("group", {.mode = 0640});
  EXPECT_EQ(mode_of(path_of("group")), 0640U);
  EXPECT_NO_THROW(Segment::open("group", kKind));
  EXPECT_THAT(describe_object(Domain::current(), "group").faults, IsEmpty());
  for (const mode_t mode : {0660U, 0644U, 0642U}) {
    ASSERT_EQ(chmod(path_of("group").c_str(), mode), 0);
    const Error error = error_of([] { return Segment::open("group", kKind); });
    EXPECT_EQ(error.code(), std::errc::operation_not_permitted);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("\"group\""), HasSubstr("expected mode 0640"), HasSubstr("chmod")));
    EXPECT_FALSE(describe_object(Domain::current(), "group").faults.empty());
  }
}

TEST(SegmentMode, OfAnAnonymousOne) {
  const Segment made = Segment::create_anonymous(kKind, kBytes, {.mode = 0666}, leave_zero);
  const UniqueFd fd = made.fd();
  EXPECT_EQ(mode_of("/proc/self/fd/" + std::to_string(fd.get())), 0666U);
}

TEST(SegmentMode, ThatIsNone) {
  for (const mode_t mode : {0U, 0400U, 0200U, 0700U, 01600U, 04600U, 0601U}) {
    const Error error = error_of([&] { return create("odd", {.mode = mode}); });
    EXPECT_EQ(error.code(), std::errc::invalid_argument);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("probe \"odd\""), HasSubstr("0600 among them")));
    EXPECT_FALSE(exists("odd"));
    EXPECT_THROW(Segment::create_anonymous(kKind, kBytes, {.mode = mode}, leave_zero), Error);
  }
}

TEST(SegmentMode, AFileThatCanOnlyBeRead) {
  const Segment made = create("read-only", {});
  ASSERT_EQ(chmod(path_of("read-only").c_str(), 0400), 0);
  const Error error = error_of([] { return Segment::open("read-only", kKind); });
  // Root may open it nevertheless, and is told all the same.
  EXPECT_TRUE(error.code() == std::errc::permission_denied ||
              error.code() == std::errc::operation_not_permitted);
  EXPECT_THAT(error.what(),
              AllOf(HasSubstr("\"read-only\""), HasSubstr("mode 0400"), HasSubstr("chmod it")));
}

// -------------------------------------------------------------------------------------------------
// Wishes

/// Page faults of this process while it writes to each page.
long faults_of(const Segment& segment) {
  rusage before = {};
  getrusage(RUSAGE_SELF, &before);
  const std::span<std::byte> object = segment.object();
  for (std::size_t i = 0; i < object.size(); i += 4096) object[i] = std::byte{1};
  rusage after = {};
  getrusage(RUSAGE_SELF, &after);
  return after.ru_minflt - before.ru_minflt;
}

TEST(SegmentReport, OfTheDefaults) {
  const Segment made = create("plain", {}, 1 << 20);
  EXPECT_TRUE(made.report().populated);
  EXPECT_FALSE(made.report().locked);
  EXPECT_EQ(made.report().huge_bytes, 0U);
  EXPECT_EQ(made.report().numa_node, std::nullopt);
  EXPECT_THAT(made.report().shortfalls, IsEmpty());
}

TEST(SegmentReport, ByDefaultWhoOpensTouchesWhatItNeeds) {
  constexpr std::size_t kMany = std::size_t{8} << 20;  // 2048 pages
  const Segment made = create("quick", {}, kMany);
  EXPECT_TRUE(made.report().populated);
  EXPECT_LT(faults_of(made), 20);
  const Segment opened = Segment::open("quick", kKind);
  EXPECT_FALSE(opened.report().populated);
  EXPECT_THAT(opened.report().shortfalls, IsEmpty()) << "as wished";
  const Segment asked = Segment::open("quick", kKind, {.populate = Populate::yes});
  EXPECT_TRUE(asked.report().populated);
  EXPECT_LT(faults_of(asked), 20);
}

TEST(SegmentReport, PopulatedMeansThatNoAccessFaults) {
  constexpr std::size_t kMany = std::size_t{8} << 20;  // 2048 pages
  const Segment made = create("mapped", {.populate = Populate::yes}, kMany);
  EXPECT_TRUE(made.report().populated);
  EXPECT_LT(faults_of(made), 20);
  const Segment lazy = Segment::open("mapped", kKind, {.populate = Populate::no});
  EXPECT_FALSE(lazy.report().populated);
  EXPECT_THAT(lazy.report().shortfalls, IsEmpty()) << "as wished";
  EXPECT_GT(faults_of(lazy), 20);
}

std::size_t locked_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string key; status >> key;) {
    std::size_t kilobytes = 0;
    if (key == "VmLck:" && status >> kilobytes) return kilobytes << 10;
  }
  return 0;
}

TEST(SegmentReport, LockedMeansThatTheKernelSaysSo) {
  const std::size_t before = locked_memory();
  const Segment made = create("locked", {.lock = true});
  if (!made.report().locked) GTEST_SKIP() << made.report();
  EXPECT_EQ(locked_memory() - before, made.stamp().total_size);
}

/// So that limits hold for root, too.
void drop_capabilities() {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> none = {};
  ASSERT_EQ(syscall(SYS_capset, &header, none.data()), 0);
}

TEST(SegmentReport, ALockThatIsRefusedIsReportedAndNoError) {
  ChildParty child([] {
    attach();
    const rlimit limit = {.rlim_cur = 4096, .rlim_max = 4096};
    ASSERT_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    drop_capabilities();
    const Segment made = create("unlocked", {.lock = true});
    EXPECT_FALSE(made.report().locked);
    EXPECT_THAT(made.report().shortfalls,
                ElementsAre(AllOf(HasSubstr("lock: "), HasSubstr("RLIMIT_MEMLOCK is 4096"))));
    const Segment opened = Segment::open("unlocked", kKind, {.lock = true});
    EXPECT_FALSE(opened.report().locked) << "the opener's wish is its own";
    EXPECT_FALSE(opened.report().shortfalls.empty());
  });
  child.finish();
}

TEST(SegmentReport, HugePagesAreThereOrMissed) {
  const Segment made = Segment::create_anonymous(kKind, 8 << 20, {.huge_pages = true}, leave_zero);
  if (made.report().huge_bytes != 0) {
    EXPECT_EQ(made.report().huge_bytes % (2 << 20), 0U);
    EXPECT_THAT(made.report().shortfalls, IsEmpty());
  } else {
    EXPECT_THAT(made.report().shortfalls,
                ElementsAre(AllOf(HasSubstr("huge_pages: "), HasSubstr("shmem_enabled"))));
  }
}

TEST(SegmentReport, ANumaNodeThatThereIs) {
  const Segment made = Segment::create_anonymous(kKind, kBytes, {.numa_node = 0}, leave_zero);
  if (made.report().numa_node != 0) GTEST_SKIP() << made.report();
  EXPECT_THAT(made.report().shortfalls, IsEmpty());
}

TEST(SegmentReport, ANumaNodeThatThereIsNot) {
  for (const int node : {-1, 1000, 5000}) {
    const Segment made = Segment::create_anonymous(kKind, kBytes, {.numa_node = node}, leave_zero);
    EXPECT_NE(made.report().numa_node, node);
    EXPECT_THAT(made.report().shortfalls,
                ElementsAre(HasSubstr("numa_node " + std::to_string(node) + ": ")));
  }
}

TEST(SegmentReport, PrintsItself) {
  std::ostringstream out;
  out << create("shown", {.numa_node = 5000}).report();
  EXPECT_THAT(out.str(), AllOf(HasSubstr("populated, not locked, 0 bytes in huge pages"),
                               HasSubstr("; not granted: numa_node 5000: ")));
}

// -------------------------------------------------------------------------------------------------
// Cleaning up

/// Lets a child come to the end of `body` and kills it there, with all that it holds.
template <class Body>
void run_and_kill(Body body) {
  Gate done;
  Process child([&] {
    const auto kept = body();
    done.open();
    for (;;) pause();
  });
  done.wait();
  child.kill();
  child.join();
  ASSERT_EQ(child.exit_code(), -SIGKILL);
}

TEST(RemoveStale, TakesTheUnusedAndNothingElse) {
  run_and_kill([] {
    std::vector<Segment> many;
    many.push_back(create("b-stale", {}));
    many.push_back(create("a-stale", {}));
    many.push_back(create("kept", {.lifetime = Lifetime::until_removed}));
    many.push_back(create("still-used", {}));
    many.push_back(create("no-segment", {}));
    return many;
  });
  // The kill came after all were made, so one is used again only if it is taken over by name.
  EXPECT_EQ(error_of([] { return Segment::open("still-used", kKind); }).code(), Status::stale);
  const Segment used = create("still-used", {});
  std::filesystem::resize_file(path_of("no-segment"), 10);
  std::ofstream(Domain::current().path() + "/bystander") << "not an object";
  EXPECT_THAT(remove_stale(), ElementsAre("a-stale", "b-stale"));
  EXPECT_TRUE(exists("kept"));
  EXPECT_TRUE(exists("still-used"));
  EXPECT_TRUE(exists("no-segment"));
  EXPECT_THAT(remove_stale(), IsEmpty());
  EXPECT_NO_THROW(Segment::open("still-used", kKind));
  Segment::remove("kept");
  Segment::remove("no-segment");
  EXPECT_TRUE(std::filesystem::remove(Domain::current().path() + "/bystander"));
}

TEST(RemoveStale, TakesWhatKilledCreatorsLeft) {
  Tag dead = participant::kNobody;
  Gate done;
  Process child([&] {
    attach();
    done.open();
    for (;;) pause();
  });
  done.wait();
  const Segment mine = create("witness", {});
  dead = participant::self() - 1;
  child.kill();
  child.join();
  const std::string directory = Domain::current().path();
  const std::string theirs = directory + "/new-" + std::to_string(dead) + "-0";
  const std::string ours = directory + "/new-" + std::to_string(participant::self()) + "-0";
  std::ofstream(theirs).put('x');
  std::ofstream(ours).put('x');
  EXPECT_THAT(remove_stale(), IsEmpty()) << "it had no name that anybody could have opened";
  EXPECT_FALSE(std::filesystem::exists(theirs));
  EXPECT_TRUE(std::filesystem::remove(ours)) << "its maker lives";
}

}  // namespace
}  // namespace sluice
