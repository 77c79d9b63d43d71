// SPDX-License-Identifier: Apache-2.0
//
// Stdio: what a standard stream of a Program is. A plain value. If a process dies here: nothing is
// shared.
//
//   Program sort({"sort"}, {.input = Stdio::file("words"), .output = Stdio::captured()});

#ifndef SLUICE_POOL_STDIO_H_
#define SLUICE_POOL_STDIO_H_

#include <cstdint>
#include <string>
#include <utility>

namespace sluice {

/// Where a standard stream of a Program comes from, or goes to.
class Stdio {
 public:
  /// One for each of the functions below.
  enum class Kind : std::uint8_t {
    inherit,   ///< by inherit()
    null,      ///< by null()
    captured,  ///< by captured()
    file,      ///< by file()
    append,    ///< by append()
    output     ///< by to_output()
  };

  /// Ours.
  static Stdio inherit() { return Stdio(Kind::inherit); }
  /// /dev/null.
  static Stdio null() { return Stdio(Kind::null); }
  /// Kept for Program::output() and error(), or fed by Program::communicate().
  static Stdio captured() { return Stdio(Kind::captured); }
  /// A file, read from its beginning, or written anew. Relative to our working directory.
  static Stdio file(std::string path) { return Stdio(Kind::file, std::move(path)); }
  /// A file, written at its end.
  static Stdio append(std::string path) { return Stdio(Kind::append, std::move(path)); }
  /// For standard error: where standard output goes.
  static Stdio to_output() { return Stdio(Kind::output); }

  /// Which of the functions has made it.
  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  /// Of file() and append(), as it was given; else empty.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  explicit Stdio(Kind kind, std::string path = {}) : kind_(kind), path_(std::move(path)) {}

  Kind kind_;
  std::string path_;
};

}  // namespace sluice

#endif  // SLUICE_POOL_STDIO_H_
