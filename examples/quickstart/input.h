// SPDX-License-Identifier: Apache-2.0
//
// The input: which files, and reading them. Each file's size is fixed when it is found, so that
// everybody who reads the input reads the same bytes, also of a log that grows meanwhile.
//
//   Input input = find_input({"/var/log", "notes.txt"});     // throws InputError
//   InputReader reader(input);
//   while (reader.next_file()) {
//     while (const std::size_t n = reader.read(room)) use(room.first(n));
//   }

#ifndef SLUICE_EXAMPLES_QUICKSTART_INPUT_H_
#define SLUICE_EXAMPLES_QUICKSTART_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/sync/unique_fd.h"

namespace quickstart {

/// The input is not as it must be; what() is a sentence for the user.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Source {
  std::string path;
  std::uint64_t size;     ///< in bytes, as found; what is appended later is not read
  std::timespec changed;  ///< modification time, as found
};

struct Input {
  std::vector<Source> sources;
  std::vector<std::string> notes;  ///< for the user: what was left out, and why
  std::uint64_t repeats = 1;       ///< how often the sources are read, one after the other

  [[nodiscard]] std::uint64_t bytes_once() const;
  [[nodiscard]] std::uint64_t bytes() const { return repeats * bytes_once(); }
};

/// Files and, recursively, directories. A path that is absent, unreadable or special (a device, a
/// pipe) throws InputError; inside a directory such files are left out, with a note, and symbolic
/// links without one.
Input find_input(const std::vector<std::string>& paths);

/// What every Debian has: the package manager's logs and the licence texts, repeated until
/// `at_least` bytes have passed. What is missing is left out, with a note; if all is, throws.
Input default_input(std::uint64_t at_least);

/// The sources that were modified, or removed, since they were found.
std::vector<std::string> changed_files(const Input& input);

/// Reads the input once, with its repeats. The input must outlive it.
class InputReader {
 public:
  explicit InputReader(const Input& input) : input_(input) {}

  /// Goes to the next file that is not empty; false when there is none. Throws InputError.
  bool next_file();

  /// Reads up to room.size() bytes of the current file; 0 at its end. Throws InputError if the file
  /// has become shorter than it was found.
  std::size_t read(std::span<char> room);

  /// Whether all of the current file has been read.
  [[nodiscard]] bool at_end_of_file() const { return left_ == 0; }

 private:
  [[nodiscard]] const Source& current() const { return input_.sources[next_ - 1]; }

  const Input& input_;
  std::uint64_t pass_ = 0;
  std::size_t next_ = 0;
  std::uint64_t left_ = 0;
  sluice::UniqueFd fd_;
};

}  // namespace quickstart

#endif  // SLUICE_EXAMPLES_QUICKSTART_INPUT_H_
