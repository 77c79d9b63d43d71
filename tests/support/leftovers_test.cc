// SPDX-License-Identifier: Apache-2.0
//
// Each kind of leftover is planted and must be found; and a whole test binary with leftovers must
// fail and name them.

#include "sluice/tests/support/leftovers.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "sluice/sync/domain.h"
#include "sluice/sync/participant.h"

namespace sluice::tests {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

std::string own_domain() { return directory_of(std::getenv("SLUICE_DOMAIN")); }

std::vector<std::string> found_since(const Snapshot& before) {
  return find_leftovers(before, take_snapshot(own_domain()));
}

pid_t plant_child() {
  const pid_t pid = fork();
  if (pid == 0) {
    for (;;) pause();
  }
  return pid;
}

pid_t plant_zombie() {
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  siginfo_t info{};
  waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);  // dead now, but not reaped
  return pid;
}

TEST(Leftovers, OfNothingAreNone) {
  EXPECT_THAT(found_since(take_snapshot(own_domain())), IsEmpty());
}

TEST(Leftovers, AChildIsFound) {
  const Snapshot before = take_snapshot(own_domain());
  const pid_t pid = plant_child();
  EXPECT_THAT(found_since(before),
              ElementsAre(StartsWith("left a child: pid " + std::to_string(pid) + " (")));
  EXPECT_THAT(found_since(take_snapshot(own_domain())), IsEmpty()) << "it was there before";
  remove_children(before, take_snapshot(own_domain()));
  EXPECT_THAT(found_since(before), IsEmpty());
}

TEST(Leftovers, AZombieIsFound) {
  const Snapshot before = take_snapshot(own_domain());
  const pid_t pid = plant_zombie();
  EXPECT_THAT(found_since(before),
              ElementsAre(AllOf(HasSubstr("pid " + std::to_string(pid)), HasSubstr("state Z"))));
  remove_children(before, take_snapshot(own_domain()));
  EXPECT_THAT(found_since(before), IsEmpty());
}

TEST(Leftovers, ADescriptorIsFound) {
  const Snapshot before = take_snapshot(own_domain());
  const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_THAT(found_since(before),
              ElementsAre("left a descriptor: " + std::to_string(fd) + " -> /dev/null"));
  close(fd);
  EXPECT_THAT(found_since(before), IsEmpty());
}

TEST(Leftovers, AClosedAndAReplacedDescriptorAreFound) {
  const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const Snapshot before = take_snapshot(own_domain());
  close(fd);
  EXPECT_THAT(found_since(before), ElementsAre("closed a descriptor that is not its own: " +
                                               std::to_string(fd) + " -> /dev/null"));
  ASSERT_EQ(open("/dev/zero", O_RDONLY | O_CLOEXEC), fd);
  EXPECT_THAT(found_since(before),
              ElementsAre("left a descriptor: " + std::to_string(fd) + " -> /dev/zero"));
  close(fd);
}

TEST(Leftovers, AMappedMemfdIsFound) {
  const Snapshot before = take_snapshot(own_domain());
  const int fd = memfd_create("planted", MFD_CLOEXEC);
  ASSERT_EQ(ftruncate(fd, 4096), 0);
  void* const shared = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  ASSERT_NE(shared, MAP_FAILED);
  EXPECT_THAT(found_since(before),
              ElementsAre(AllOf(StartsWith("left a mapping: "), HasSubstr("/memfd:planted"))));
  munmap(shared, 4096);
  EXPECT_THAT(found_since(before), IsEmpty());
}

TEST(Leftovers, AnotherMemfdOfTheSameNameIsFound) {
  const auto map_one = [] {
    const int fd = memfd_create("twin", MFD_CLOEXEC);
    EXPECT_EQ(ftruncate(fd, 4096), 0);
    void* const memory = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    return memory;
  };
  void* const first = map_one();
  const Snapshot before = take_snapshot(own_domain());
  void* const second = map_one();
  EXPECT_THAT(found_since(before), ElementsAre(HasSubstr("/memfd:twin")));
  munmap(first, 4096);
  munmap(second, 4096);
}

TEST(Leftovers, AnonymousSharedMemoryIsFound) {
  const Snapshot before = take_snapshot(own_domain());
  void* const shared = mmap(nullptr, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  EXPECT_THAT(found_since(before), ElementsAre(HasSubstr("/dev/zero")));
  munmap(shared, 4096);
  void* const private_memory = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_THAT(found_since(before), IsEmpty()) << "private memory is no segment";
  munmap(private_memory, 4096);
}

TEST(Leftovers, AnObjectOfTheDomainIsFoundAndTheRegistryIsNot) {
  const Snapshot before = take_snapshot(own_domain());
  attach();
  EXPECT_EQ(participant::probe(participant::self() + 1), Liveness::dead);
  EXPECT_EQ(Domain::current().path(), own_domain()) << "the check looks where the library writes";
  EXPECT_TRUE(std::filesystem::exists(own_domain() + "/registry-v1"));
  EXPECT_THAT(found_since(before), IsEmpty()) << "the registry may stay";

  const std::string object = own_domain() + "/obj-planted";
  std::ofstream(object) << "x";
  EXPECT_THAT(found_since(before), ElementsAre("left a file in its domain: obj-planted"));
  std::filesystem::remove(object);
  EXPECT_THAT(found_since(before), IsEmpty());
}

// -------------------------------------------------------------------------------------------------
// The same through main(): this binary once more, with tests that leave something behind

TEST(DISABLED_Planted, AZombie) { plant_zombie(); }
TEST(DISABLED_Planted, ADescriptor) { open("/dev/null", O_RDONLY | O_CLOEXEC); }
TEST(DISABLED_Planted, AnObject) {
  std::printf("domain: %s\n", Domain::current().path().c_str());
  std::ofstream(own_domain() + "/obj-planted") << "x";
}
TEST(DISABLED_Planted, Nothing) {}

struct Outcome {
  int status;
  std::string output;
};

Outcome run_planted() {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string command = "TEST_SHARD_INDEX= TEST_TOTAL_SHARDS= XML_OUTPUT_FILE= '" + self +
                              "' --gtest_filter='DISABLED_Planted.*'" +
                              " --gtest_also_run_disabled_tests 2>&1";
  FILE* const pipe = popen(command.c_str(), "re");
  std::string output;
  for (int c = 0; (c = std::fgetc(pipe)) != EOF;) output += static_cast<char>(c);
  return {pclose(pipe), output};
}

TEST(Leftovers, FailTheTestThatLeftThemAndOnlyThatOne) {
  const Outcome run = run_planted();
  EXPECT_NE(run.status, 0) << run.output;
  for (const char* culprit : {"AZombie", "ADescriptor", "AnObject"}) {
    EXPECT_THAT(run.output, HasSubstr("[  FAILED  ] DISABLED_Planted." + std::string(culprit)));
  }
  EXPECT_THAT(run.output, HasSubstr("[       OK ] DISABLED_Planted.Nothing"));
  EXPECT_THAT(run.output, HasSubstr("this test left a child: pid "));
  EXPECT_THAT(run.output, HasSubstr("-> /dev/null"));
  EXPECT_THAT(run.output, HasSubstr("this test left a file in its domain: obj-planted"));
}

TEST(Leftovers, TheDomainGoesWithTheTestBinary) {
  const Outcome run = run_planted();
  const std::size_t at = run.output.find("domain: ");
  ASSERT_NE(at, std::string::npos) << run.output;
  const std::string domain = run.output.substr(at + 8, run.output.find('\n', at) - at - 8);
  EXPECT_THAT(domain, AllOf(StartsWith("/dev/shm/sluice-"), Not(own_domain())));
  EXPECT_FALSE(std::filesystem::exists(domain));
}

}  // namespace
}  // namespace sluice::tests
