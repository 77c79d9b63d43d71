// SPDX-License-Identifier: Apache-2.0
//
// Error: why a set-up call (create, open, attach, fork) failed, told in full. Not for the data
// path, which returns Status, and not for misuse, which is a std::logic_error.
//
//   try {
//     auto rx = Receiver::open("orders");
//   } catch (const sluice::Error& e) {
//     std::cerr << e.what() << '\n';   // open "orders": expected ..., found ...; do ...
//     if (e.code() == std::errc::no_such_file_or_directory) { ... }
//   }
//
// Threads, processes, death: a plain value, nothing shared.

#ifndef SLUICE_SYNC_ERROR_H_
#define SLUICE_SYNC_ERROR_H_

#include <string>
#include <system_error>

#include "sluice/sync/status.h"

namespace sluice {

/// The four things a person needs to know of a failure; empty parts are left out of the text.
struct ErrorText {
  std::string tried = {};     ///< what was tried, on which object: `create pipe "orders"`
  std::string expected = {};  ///< what had to be so
  std::string found = {};     ///< what was so instead
  std::string hint = {};      ///< what the reader can do about it
};

/// A set-up call that failed; code() compares equal to a Status or an errno value, what() has all
/// of the text.
class Error : public std::system_error {
 public:
  /// For a code of any category; its message comes after what was tried.
  Error(std::error_code code, ErrorText text);
  /// Where no errno value fits.
  Error(Status status, ErrorText text) : Error(make_error_code(status), std::move(text)) {}

  /// From the errno value `error`.
  static Error from_errno(int error, ErrorText text) {
    return Error(std::error_code(error, std::generic_category()), std::move(text));
  }

  /// One line, without a newline: what was tried, why that failed, and the other parts that are
  /// known. Lives as long as the Error.
  [[nodiscard]] const char* what() const noexcept override { return what_.c_str(); }
  /// The parts that what() is made of, for programs that show them in their own way.
  [[nodiscard]] const ErrorText& text() const noexcept { return text_; }

 private:
  ErrorText text_;
  std::string what_;
};

}  // namespace sluice

#endif  // SLUICE_SYNC_ERROR_H_
