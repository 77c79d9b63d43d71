// SPDX-License-Identifier: Apache-2.0
//
// Program: another program in a child. Issue 7, item 1; rows PR7, PR15, PR18, PR29 and PR30 as far
// as they are not Process's own.

#include "sluice/pool/exec.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/ipc/value.h"
#include "sluice/pool/process.h"
#include "sluice/pool/stdio.h"
#include "sluice/sync/error.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/tests/pool/whole_program.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/child_party.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;

/// A directory of this test's own.
class Directory {
 public:
  Directory() {
    std::string path = "/tmp/sluice-exec-XXXXXX";
    if (mkdtemp(path.data()) == nullptr) std::abort();
    path_ = path;
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> shell(const std::string& script) { return {"sh", "-c", script}; }

/// What it writes.
std::string output_of(std::vector<std::string> arguments, ExecOptions options = {}) {
  options.output = Stdio::captured();
  Program program(std::move(arguments), std::move(options));
  EXPECT_TRUE(program.join(20s));
  return program.output();
}

// -------------------------------------------------------------------------------------------------
// What it is given

TEST(Program, ArgumentsArriveAsTheyAre) {
  EXPECT_EQ(output_of({"printf", "<%s>", "a b", "", "$HOME", "*"}), "<a b><><$HOME><*>");
}

TEST(Program, ItsExitCodeIsAsAnyProcesss) {
  Program ends(shell("exit 7"));
  EXPECT_TRUE(ends.join(20s));
  EXPECT_EQ(ends.exit_code(), 7);
  Program sleeps({"sleep", "1000"});
  EXPECT_TRUE(sleeps.alive());
  EXPECT_EQ(sleeps.name(), "sleep");
  EXPECT_FALSE(sleeps.join(10ms));
  ASSERT_EQ(active_children().size(), 1U);
  EXPECT_EQ(active_children()[0].pid, sleeps.pid());
  EXPECT_THROW(sleeps.start(), std::logic_error) << "it runs already";
  EXPECT_THROW(sleeps.close(), std::logic_error);
  sleeps.terminate();
  EXPECT_TRUE(sleeps.join(20s));
  EXPECT_EQ(sleeps.exit_code(), -SIGTERM);
}

TEST(Program, EnvironmentIsOursOrAnother) {
  setenv("SLUICE_EXEC_TEST", "ours", 1);
  EXPECT_EQ(output_of(shell("printf %s \"$SLUICE_EXEC_TEST\"")), "ours");
  Environment other = current_environment();
  other["SLUICE_EXEC_TEST"] = "a=b c";
  EXPECT_EQ(output_of(shell("printf %s \"$SLUICE_EXEC_TEST\""), {.environment = other}), "a=b c");
  EXPECT_EQ(output_of({"env"}, {.environment = Environment{{"ONLY", "this"}}}), "ONLY=this\n");
  unsetenv("SLUICE_EXEC_TEST");
}

TEST(Program, DirectoryIsOursOrAnother) {
  const Directory directory;
  EXPECT_EQ(output_of({"pwd"}), std::filesystem::current_path().string() + "\n");
  EXPECT_EQ(output_of({"pwd", "-P"}, {.directory = directory.path()}), directory.path() + "\n");
}

TEST(Program, StartsWithNoSignalBlockedAndNoHandler) {
  sigset_t term, before;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  sigprocmask(SIG_BLOCK, &term, &before);
  const auto handler = signal(SIGTERM, [](int) {});
  Program sleeps({"sleep", "1000"});
  sleeps.terminate();
  EXPECT_TRUE(sleeps.join(20s));
  EXPECT_EQ(sleeps.exit_code(), -SIGTERM);
  signal(SIGTERM, handler);
  sigset_t now;
  sigprocmask(SIG_SETMASK, &before, &now);
  EXPECT_EQ(sigismember(&now, SIGTERM), 1) << "ours is as it was";
}

// -------------------------------------------------------------------------------------------------
// Streams

TEST(ProgramStreams, NullIsEmptyAndSwallows) {
  Program program(shell("cat; echo out; echo err >&2"),
                  {.input = Stdio::null(), .output = Stdio::null(), .error = Stdio::captured()});
  EXPECT_TRUE(program.join(20s));
  EXPECT_EQ(program.output(), "");
  EXPECT_EQ(program.error(), "err\n");
}

TEST(ProgramStreams, FilesAreReadWrittenAnewAndAppendedTo) {
  const Directory directory;
  std::ofstream(directory.file("in")) << "text\n";
  std::ofstream(directory.file("out")) << "old and long\n";
  for (const bool append : {false, true}) {
    const std::string out = directory.file("out");
    Program program({"cat"}, {.input = Stdio::file(directory.file("in")),
                              .output = append ? Stdio::append(out) : Stdio::file(out)});
    EXPECT_TRUE(program.join(20s));
    EXPECT_EQ(program.exit_code(), 0);
  }
  EXPECT_EQ(text_of(directory.file("out")), "text\ntext\n");
}

TEST(ProgramStreams, InheritedOnesAreOurs) {
  const Ran ran = run_program([] {
    Program program(shell("echo out; echo err >&2"));
    program.join();
    return *program.exit_code();
  });
  EXPECT_EQ(ran.out, "out\nerr\n");
}

TEST(ProgramStreams, ErrorCanGoWhereOutputGoes) {
  EXPECT_EQ(output_of(shell("echo out; echo err >&2; echo out"), {.error = Stdio::to_output()}),
            "out\nerr\nout\n");
}

TEST(ProgramStreams, NoAmountIsTooMuchInAnyOrderOnAllThree) {
  const std::string much(3 << 20, 'x');
  Program program(
      shell("head -c 2000000 /dev/zero >&2; cat; head -c 2000000 /dev/zero >&2"),
      {.input = Stdio::captured(), .output = Stdio::captured(), .error = Stdio::captured()});
  EXPECT_TRUE(program.communicate(much, 60s));
  EXPECT_EQ(program.exit_code(), 0);
  EXPECT_EQ(program.output(), much);
  EXPECT_EQ(program.error(), std::string(4'000'000, '\0'));
}

TEST(ProgramStreams, ADeadlineLosesNothing) {
  Program program(shell("echo first; exec sleep 1000"), {.output = Stdio::captured()});
  while (program.output().empty()) EXPECT_FALSE(program.join(10ms));
  EXPECT_EQ(program.output(), "first\n");
  program.kill();
  EXPECT_TRUE(program.join(20s));
  EXPECT_EQ(program.output(), "first\n");
}

TEST(ProgramStreams, AGrandchildThatHoldsTheOutputKeepsNobody) {
  Program program(shell("sleep 30 & echo $!"), {.output = Stdio::captured()});
  EXPECT_LT(time_of([&] { EXPECT_TRUE(program.join(20s)); }), 10s);
  EXPECT_EQ(program.exit_code(), 0);
  kill(std::stoi(program.output()), SIGKILL);
}

TEST(ProgramStreams, OneThatDoesNotReadItsInputIsNoSigpipe) {
  Program program({"true"}, {.input = Stdio::captured()});
  EXPECT_TRUE(program.communicate(std::string(1 << 20, 'x'), 20s));
  EXPECT_EQ(program.exit_code(), 0);
}

TEST(ProgramStreams, OneWhoseOutputNobodyReadsIsNotWaitedForForEver) {
  const auto waited = time_of([] { Program({"yes"}, {.output = Stdio::captured()}); });
  EXPECT_LT(waited, 10s);
}

TEST(ProgramStreams, ASiblingDoesNotKeepAStreamOpen) {
  Program cat({"cat"}, {.input = Stdio::captured(), .output = Stdio::captured()});
  Gate end;
  Process sibling([&] { end.wait(); });  // inherits our end of cat's input, if it is not closed
  EXPECT_TRUE(cat.communicate("text", 20s));
  EXPECT_EQ(cat.output(), "text");
  end.open();
}

// -------------------------------------------------------------------------------------------------
// What can't be run

TEST(ProgramErrors, SayWhichProgramAndWhatFailed) {
  const Directory directory;
  std::ofstream(directory.file("text")) << "no program";
  const auto what = [](std::vector<std::string> arguments, ExecOptions options = {}) {
    return error_of([&] { return Program(std::move(arguments), std::move(options)).pid(); });
  };
  const Error absent = what({"sluice-no-such-program"});
  EXPECT_EQ(absent.code(), std::errc::no_such_file_or_directory);
  EXPECT_THAT(absent.what(), AllOf(HasSubstr("sluice-no-such-program"), HasSubstr("PATH")));
  const Error not_executable = what({directory.file("text")});
  EXPECT_EQ(not_executable.code(), std::errc::permission_denied);
  EXPECT_THAT(not_executable.what(), AllOf(HasSubstr("text"), HasSubstr("execute")));
  const Error nowhere = what({"true"}, {.directory = directory.file("nowhere")});
  EXPECT_EQ(nowhere.code(), std::errc::no_such_file_or_directory);
  EXPECT_THAT(nowhere.what(), AllOf(HasSubstr("nowhere"), HasSubstr("true")));
  const Error no_input = what({"cat"}, {.input = Stdio::file(directory.file("none"))});
  EXPECT_THAT(no_input.what(), AllOf(HasSubstr("none"), HasSubstr("cat")));
  const Error not_open = what({"true"}, {.inherited = {{"x", 999}}});
  EXPECT_EQ(not_open.code(), std::errc::bad_file_descriptor);
  EXPECT_TRUE(active_children().empty());
}

TEST(ProgramErrors, MisuseIsTold) {
  EXPECT_THROW(Program({}), std::logic_error);
  EXPECT_THROW(Program({std::string("a\0b", 3)}), std::logic_error);
  EXPECT_THROW(Program({"true"}, {.inherited = {{"a:b", 0}}}), std::logic_error);
  EXPECT_THROW(Program({"true"}, {.inherited = {{"a", 0}, {"a", 1}}}), std::logic_error);
  EXPECT_THROW(Program({"true"}, {.inherited = {{"a", -1}}}), std::logic_error);
  EXPECT_THROW(static_cast<void>(inherited_descriptor("none")), Error);
}

// -------------------------------------------------------------------------------------------------
// Descriptors

TEST(ProgramDescriptors, HasTheStandardOnesAndThoseListed) {
  const int forgotten = open("/dev/null", O_RDONLY);  // NOLINT(android-cloexec-open): as hosts do
  const UniqueFd closed_later(forgotten);
  EXPECT_EQ(output_of(shell("ls /proc/$$/fd")), "0\n1\n2\n");
  EXPECT_EQ(output_of(shell("ls /proc/$$/fd; echo $SLUICE_INHERITED"),
                      {.inherited = {{"one", 0}, {"other", forgotten}}}),
            "0\n1\n2\n3\n4\none:3,other:4\n");
}

TEST(ProgramDescriptors, CrossingNumbersArriveRight) {
  // Wanted as 3 and 4, while they are 4 and 3 with us.
  const UniqueFd first(memfd_create("first", MFD_CLOEXEC));
  const UniqueFd second(memfd_create("second", MFD_CLOEXEC));
  const auto names = output_of(shell("readlink /proc/$$/fd/3; readlink /proc/$$/fd/4"),
                               {.inherited = {{"b", std::max(first.get(), second.get())},
                                              {"a", std::min(first.get(), second.get())}}});
  EXPECT_EQ(names, "/memfd:second (deleted)\n/memfd:first (deleted)\n");
}

TEST(ProgramDescriptors, SharedObjectsAreInherited) {
  const Value<int> balance(37);
  const UniqueFd fd = balance.fd();
  const auto here = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  Program other({here / "exec_partner", "5"},
                {.error = Stdio::captured(), .inherited = {{"balance", fd.get()}}});
  EXPECT_TRUE(other.join(30s));
  EXPECT_EQ(other.exit_code(), 0) << other.error();
  EXPECT_EQ(balance.load(), 42);
}

TEST(ProgramDescriptors, NoneIsLeft) {
  const auto descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  const auto before = descriptors();
  for (int i = 0; i < 20; ++i) {
    Program program({"cat"}, {.daemon = true,
                              .input = Stdio::captured(),
                              .output = Stdio::captured(),
                              .error = Stdio::null()});
    EXPECT_TRUE(program.communicate("x", 20s));
    EXPECT_THROW(Program({"sluice-no-such-program"}, {.output = Stdio::captured()}), Error);
  }
  EXPECT_EQ(descriptors(), before);
}

// -------------------------------------------------------------------------------------------------
// Daemons, many at once

TEST(ProgramDaemon, PR30_EndsWithAParentThatIsKilled) {
  const Ran ran = run_program([]() -> int {
    std::thread([] {  // whichever thread started it
      leave_behind(new Program(shell("trap '' TERM; exec sleep 1000"), {.daemon = true}));
    })
        .join();
    raise(SIGKILL);
    return 1;
  });
  EXPECT_EQ(ran.code, -SIGKILL);
}

TEST(ProgramDaemon, PR30_EndsWithAParentThatEnds) {
  const Ran ran = run_program([] {
    leave_behind(new Program({"sleep", "1000"}, {.daemon = true}));
    leave_behind(new Program(shell("sleep 0.1; echo joined")));
    return 4;
  });
  EXPECT_EQ(ran.code, 4);
  EXPECT_EQ(ran.out, "joined\n");
}

TEST(ProgramMany, SixteenThreadsRunProgramsAndProcessesAtOnce) {
  std::atomic<int> good = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 4; ++i) {
        Process child([] {});
        const std::string number = std::to_string(16 * i + t);
        Program program(shell("cat; exit " + number),
                        {.input = Stdio::captured(), .output = Stdio::captured()});
        if (program.communicate(number, 30s) && program.output() == number &&
            program.exit_code() == 16 * i + t && child.join(30s)) {
          ++good;
        }
      }
    });
  }
  threads.clear();
  EXPECT_EQ(good, 16 * 4);
}

}  // namespace
}  // namespace sluice::tests
