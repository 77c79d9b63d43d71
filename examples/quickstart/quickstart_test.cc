// SPDX-License-Identifier: Apache-2.0
//
// Runs the program as a user would, and reads what it prints.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "sluice/sync/unique_fd.h"

namespace {

namespace fs = std::filesystem;
using sluice::UniqueFd;
using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kProgram = "examples/quickstart/quickstart";  // below the runfiles' root
constexpr const char* kRight = "in one process, gives the same\n";

/// A running quickstart.
class Program {
 public:
  explicit Program(std::vector<std::string> arguments, bool unprivileged = false) {
    const UniqueFd file(open(kProgram, O_RDONLY | O_CLOEXEC));
    EXPECT_TRUE(file) << kProgram;
    std::array<int, 2> ends = {};
    EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    output_.reset(ends[0]);
    const UniqueFd input(ends[1]);
    arguments.insert(arguments.begin(), "quickstart");
    pid_ = fork();
    if (pid_ == 0) exec(file.get(), input.get(), arguments, unprivileged);
  }

  [[nodiscard]] pid_t pid() const { return pid_; }

  std::string read_line() {
    std::string line;
    for (char c = 0; c != '\n' && read(output_.get(), &c, 1) == 1;) line += c;
    return line;
  }

  /// What it printed to both outputs. Every process of the service has them open: so when this
  /// returns, none is left.
  std::string read_all() {
    std::string all;
    std::array<char, 4096> room;
    for (ssize_t n = 0; (n = read(output_.get(), room.data(), room.size())) > 0;) {
      all.append(room.data(), static_cast<std::size_t>(n));
    }
    return all;
  }

  /// As waitpid(2) says it.
  [[nodiscard]] int wait() const {
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    return status;
  }

 private:
  [[noreturn]] static void exec(int program, int output, const std::vector<std::string>& arguments,
                                bool unprivileged) {
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    std::vector<char*> argv;
    argv.reserve(arguments.size() + 1);
    for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    // Root's program then starts without root's privileges; who is not root can't do this, and has
    // none. Not setuid(): in a sandbox there may be no other user.
    if (unprivileged) static_cast<void>(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT));
    fexecve(program, argv.data(), environ);
    _exit(127);
  }

  UniqueFd output_;
  pid_t pid_ = -1;
};

class QuickstartTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(directory_);
    // What `bazel run` tells is for the person who says it.
    unsetenv("BUILD_WORKING_DIRECTORY");
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ / name, std::ios::binary) << text;
    return (directory_ / name).string();
  }

  /// Runs to the end and returns what was printed.
  static std::string output_of(const std::vector<std::string>& arguments, int expected_code = 0,
                               bool unprivileged = false) {
    Program run(arguments, unprivileged);
    const std::string output = run.read_all();
    const int status = run.wait();
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == expected_code)
        << "wait status " << status << ", printed:\n"
        << output;
    return output;
  }

  const fs::path directory_ =
      fs::path(testing::TempDir()) / ("quickstart_" + std::to_string(getpid()));
};

TEST_F(QuickstartTest, CountsTheDefaultInput) {
  EXPECT_THAT(output_of({"--repeat=2"}),
              AllOf(HasSubstr(kRight), HasSubstr("read 2 times"), HasSubstr("lines/s"),
                    ContainsRegex("queueing time .*p50 .*p99 .*p99.9 .*at full speed"),
                    ContainsRegex("transit time .*p50 .*p99 .*p99.9 .*tenth")));
}

TEST_F(QuickstartTest, TakesAnyNumberOfParsers) {
  EXPECT_THAT(output_of({"--repeat=1", "--parsers=1"}),
              AllOf(HasSubstr(kRight), HasSubstr("1 parser\n")));
  EXPECT_THAT(output_of({"--repeat=1", "--parsers=7"}),
              AllOf(HasSubstr(kRight), HasSubstr("7 parsers\n")));
}

TEST_F(QuickstartTest, KillInTheFirstBatch) {
  EXPECT_THAT(
      output_of({"--repeat=1", "--kill-one=1"}),
      AllOf(HasSubstr(kRight),
            ContainsRegex("parser-1 .*killed by signal 9, in batch 0, the 1st it was given")));
}

TEST_F(QuickstartTest, KillInAMiddleBatch) {
  EXPECT_THAT(
      output_of({"--repeat=20", "--kill-one"}),
      AllOf(HasSubstr(kRight), ContainsRegex("killed by signal 9, in batch [0-9]+, the 10th it")));
}

TEST_F(QuickstartTest, KillInTheLastBatch) {
  // Six batches, of which no parser gets a thousand.
  std::string text;
  while (text.size() < 180'000) text += "one more line of text\n";
  EXPECT_THAT(output_of({write("text", text), "--kill-one=1000"}),
              AllOf(HasSubstr(kRight),
                    ContainsRegex("killed by signal 9, in batch 5, .* 1 batch without a result")));
}

TEST_F(QuickstartTest, WithoutASurvivorItSaysSo) {
  EXPECT_THAT(output_of({"--repeat=1", "--parsers=1", "--kill-one=2"}, 1),
              AllOf(HasSubstr("no parser is left"), Not(HasSubstr(kRight))));
}

TEST_F(QuickstartTest, InterruptedItLeavesNobody) {
  Program run({"--repeat=100000"});
  EXPECT_THAT(run.read_line(), HasSubstr("1 producer"));
  ASSERT_EQ(kill(run.pid(), SIGINT), 0);  // the parent alone: its children notice by themselves
  EXPECT_THAT(run.read_all(), Not(HasSubstr("lines")));
  const int status = run.wait();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) << status;
}

TEST_F(QuickstartTest, MissingFile) {
  EXPECT_THAT(output_of({(directory_ / "absent").string()}, 2), HasSubstr("absent: No such file"));
}

TEST_F(QuickstartTest, UnreadableFile) {
  const std::string path = write("secret", "text\n");
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  const std::string output = output_of({path}, 2, /*unprivileged=*/true);
  EXPECT_THAT(output, ContainsRegex("cannot read .*secret: Permission denied"));
}

TEST_F(QuickstartTest, EmptyInput) {
  EXPECT_THAT(
      output_of({write("empty", "")}),
      AllOf(HasSubstr("the input is empty"), HasSubstr(kRight), ContainsRegex("lines +0\n")));
}

TEST_F(QuickstartTest, BinaryInputAndEndlessLines) {
  std::string binary("\0\1\xff\xfe word \0word\n", 16);
  binary += std::string(200'000, 'x') + '\n' + std::string(100'000, '\0') + "end";
  EXPECT_THAT(
      output_of({write("binary", binary)}),
      AllOf(HasSubstr(kRight), ContainsRegex("lines +3\n"), ContainsRegex("bytes +300,020\n"),
            ContainsRegex("words +3,129, of which different 4\n")));
}

TEST_F(QuickstartTest, Directories) {
  fs::create_directory(directory_ / "inner");
  write("inner/a", "a\n");
  write("b", "b\n");
  ASSERT_EQ(mkfifo((directory_ / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(
      output_of({directory_.string()}),
      AllOf(HasSubstr("2 files, 4 bytes"), HasSubstr("fifo is a special file"), HasSubstr(kRight)));
}

TEST_F(QuickstartTest, BadOptions) {
  output_of({"--parsers=0"}, 2);
  output_of({"--kill-one=0"}, 2);
  output_of({"--repeat=-1"}, 2);
  output_of({"--what"}, 2);
  EXPECT_THAT(output_of({"--help"}), HasSubstr("--kill-one"));
}

}  // namespace
