// SPDX-License-Identifier: Apache-2.0

#include "sluice/examples/quickstart/input.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "sluice/examples/quickstart/batches.h"

namespace quickstart {
namespace {

namespace fs = std::filesystem;

class InputTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directory(directory_); }
  void TearDown() override { fs::remove_all(directory_); }

  std::string write(const std::string& name, const std::string& text) {
    const fs::path path = directory_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }

  const fs::path directory_ =
      fs::path(testing::TempDir()) / ("quickstart_input_" + std::to_string(getpid()));
};

/// All that a reader of the input gets, files in brackets.
std::string read_all(const Input& input) {
  std::string all;
  std::array<char, 7> room;
  InputReader reader(input);
  while (reader.next_file()) {
    all += '[';
    while (const std::size_t n = reader.read(room)) all.append(room.data(), n);
    EXPECT_TRUE(reader.at_end_of_file());
    all += ']';
  }
  return all;
}

TEST_F(InputTest, ReadsFilesInOrderAndAsOftenAsAsked) {
  Input input = find_input({write("b", "second file"), write("a", "first")});
  EXPECT_EQ(input.bytes(), 16U);
  EXPECT_EQ(read_all(input), "[second file][first]");
  input.repeats = 2;
  EXPECT_EQ(input.bytes(), 32U);
  EXPECT_EQ(read_all(input), "[second file][first][second file][first]");
}

TEST_F(InputTest, EntersDirectoriesAndLeavesOutLinksAndSpecialFiles) {
  write("x/y/2", "two");
  write("x/1", "one");
  write("x/empty", "");
  fs::create_symlink(directory_, directory_ / "x/loop");
  fs::create_symlink(directory_ / "x/1", directory_ / "x/link");
  ASSERT_EQ(mkfifo((directory_ / "x/fifo").c_str(), 0600), 0);
  const Input input = find_input({(directory_ / "x").string()});
  EXPECT_EQ(read_all(input), "[one][two]");
  ASSERT_EQ(input.notes.size(), 1U);
  EXPECT_NE(input.notes[0].find("fifo is a special file"), std::string::npos) << input.notes[0];
}

TEST_F(InputTest, RefusesWhatIsAbsentSpecialOrEmptyOfFiles) {
  EXPECT_THROW(find_input({(directory_ / "absent").string()}), InputError);
  EXPECT_THROW(find_input({directory_.string()}), InputError);
  EXPECT_THROW(find_input({"/dev/null"}), InputError);
}

TEST_F(InputTest, AGrowingFileIsReadAsItWasFound) {
  const std::string path = write("log", "found");
  const Input input = find_input({path});
  EXPECT_TRUE(changed_files(input).empty());
  std::ofstream(path, std::ios::app) << " and appended";
  EXPECT_EQ(read_all(input), "[found]");
}

TEST_F(InputTest, AShrinkingFileIsAnError) {
  const std::string path = write("log", "some bytes");
  const Input input = find_input({path});
  fs::resize_file(path, 4);
  try {
    read_all(input);
    FAIL() << "nothing was thrown";
  } catch (const InputError& e) {
    EXPECT_NE(std::string(e.what()).find("shorter"), std::string::npos) << e.what();
  }
  fs::remove(path);
  EXPECT_EQ(changed_files(input), std::vector<std::string>{path});
}

TEST_F(InputTest, BatchesAreNumberedWholeLinesOfOneFile) {
  const std::string line(1000, 'x');
  std::string text;
  for (int i = 0; i < 100; ++i) text += line + '\n';
  const Input input = find_input({write("long", text), write("short", "no newline")});
  BatchReader reader(input);
  std::uint64_t number = 0;
  std::string all;
  while (const auto batch = reader.next()) {
    EXPECT_EQ(batch->number, number++);
    EXPECT_EQ(batch->text().back() != '\n', batch->has_open_line);
    EXPECT_FALSE(batch->kill_parser);
    all += batch->text();
  }
  EXPECT_EQ(number, 5U);  // 32 lines in each of three batches, four in the next, and the other file
  EXPECT_EQ(all, text + "no newline");
}

TEST_F(InputTest, ALineLongerThanABatchIsStillOneLine) {
  // Exactly a batch, more than one, and cut between words.
  for (const std::string& text : {std::string(kBatchBytes, 'x'), std::string(3 * kBatchBytes, 'x'),
                                  std::string(kBatchBytes - 2, ' ') + "word and more"}) {
    const Input input = find_input({write("line", text)});
    BatchReader reader(input);
    std::string all;
    int open_lines = 0;
    while (const auto batch = reader.next()) {
      all += batch->text();
      open_lines += batch->has_open_line;
    }
    EXPECT_EQ(all, text);
    EXPECT_EQ(open_lines, 1);
  }
}

}  // namespace
}  // namespace quickstart
