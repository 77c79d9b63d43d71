// SPDX-License-Identifier: Apache-2.0

#include "sluice/examples/quickstart/input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <numeric>
#include <system_error>

namespace quickstart {
namespace {

namespace fs = std::filesystem;

InputError cannot(const std::string& what, const std::string& path, int error) {
  return InputError("cannot " + what + " " + path + ": " + std::generic_category().message(error));
}

/// Opens a file to read it. O_NONBLOCK: a named pipe must not keep us waiting for a writer.
sluice::UniqueFd open_file(const std::string& path) {
  sluice::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd) throw cannot("read", path, errno);
  return fd;
}

/// Adds one file; throws InputError if it can't be read or is no regular file.
void add_file(const std::string& path, Input& input) {
  const sluice::UniqueFd fd = open_file(path);
  struct stat found = {};
  if (fstat(fd.get(), &found) != 0) throw cannot("look at", path, errno);
  if (!S_ISREG(found.st_mode)) {
    throw InputError("cannot read " + path + ": neither a file nor a directory");
  }
  input.sources.push_back({path, static_cast<std::uint64_t>(found.st_size), found.st_mtim});
}

/// Regular files are collected, directories entered, links and special files left alone.
void add_entry(const fs::directory_entry& entry, std::vector<fs::path>& directories, Input& input) {
  std::error_code ignored;
  const fs::file_status status = entry.symlink_status(ignored);
  if (fs::is_symlink(status)) return;
  if (fs::is_directory(status)) {
    directories.push_back(entry.path());
  } else if (fs::is_regular_file(status)) {
    try {
      add_file(entry.path().string(), input);
    } catch (const InputError& e) {
      input.notes.push_back(std::string("left out: ") + e.what());
    }
  } else {
    input.notes.push_back("left out: " + entry.path().string() + " is a special file");
  }
}

void add_directory(const std::string& path, Input& input) {
  const auto first = static_cast<std::ptrdiff_t>(input.sources.size());
  std::vector<fs::path> directories = {path};
  while (!directories.empty()) {
    const fs::path directory = directories.back();
    directories.pop_back();
    std::error_code error;
    fs::directory_iterator entry(directory, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
      add_entry(*entry, directories, input);
    }
    if (!error) continue;
    if (directory == path) throw cannot("read", path, error.value());
    input.notes.push_back(std::string("left out: ") +
                          cannot("read", directory.string(), error.value()).what());
  }
  // The kernel lists a directory in no particular order; runs are to be alike.
  std::sort(input.sources.begin() + first, input.sources.end(),
            [](const Source& a, const Source& b) { return a.path < b.path; });
}

void add_path(const std::string& path, Input& input) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    add_directory(path, input);
  } else {
    add_file(path, input);
  }
}

}  // namespace

std::uint64_t Input::bytes_once() const {
  return std::accumulate(sources.begin(), sources.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const Source& s) { return sum + s.size; });
}

Input find_input(const std::vector<std::string>& paths) {
  Input input;
  for (const std::string& path : paths) add_path(path, input);
  if (input.sources.empty()) throw InputError("there is no file to read in what was named");
  return input;
}

Input default_input(std::uint64_t at_least) {
  constexpr std::array kPaths = {"/var/log/dpkg.log", "/var/log/apt/history.log",
                                 "/usr/share/common-licenses"};
  Input input;
  for (const char* const path : kPaths) {
    try {
      add_path(path, input);
    } catch (const InputError& e) {
      input.notes.push_back(std::string("skipped: ") + e.what());
    }
  }
  const std::uint64_t once = input.bytes_once();
  if (once == 0) throw InputError("nothing of the default input is there: name files to read");
  input.repeats = (at_least + once - 1) / once;
  return input;
}

std::vector<std::string> changed_files(const Input& input) {
  std::vector<std::string> changed;
  for (const Source& source : input.sources) {
    struct stat now = {};
    const bool same = stat(source.path.c_str(), &now) == 0 &&
                      now.st_mtim.tv_sec == source.changed.tv_sec &&
                      now.st_mtim.tv_nsec == source.changed.tv_nsec;
    if (!same) changed.push_back(source.path);
  }
  return changed;
}

bool InputReader::next_file() {
  if (input_.bytes_once() == 0) return false;
  do {
    if (next_ == input_.sources.size()) {
      if (++pass_ >= input_.repeats) return false;
      next_ = 0;
    }
    ++next_;
    left_ = current().size;
  } while (left_ == 0);
  fd_ = open_file(current().path);
  return true;
}

std::size_t InputReader::read(std::span<char> room) {
  const std::size_t wanted = std::min<std::uint64_t>(room.size(), left_);
  if (wanted == 0) return 0;
  ssize_t got = 0;
  do {
    got = ::read(fd_.get(), room.data(), wanted);
  } while (got < 0 && errno == EINTR);
  if (got < 0) throw cannot("read", current().path, errno);
  if (got == 0) {
    throw InputError(current().path +
                     " has become shorter while it was read: " + std::to_string(current().size) +
                     " bytes were there, the last " + std::to_string(left_) + " are gone");
  }
  left_ -= static_cast<std::uint64_t>(got);
  return static_cast<std::size_t>(got);
}

}  // namespace quickstart
