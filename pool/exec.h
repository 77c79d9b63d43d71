// SPDX-License-Identifier: Apache-2.0
//
// Program: runs another program in a child, and is a Process in all else. Not for a function of
// this program (process.h), and there is no shell in it: arguments are what they are.
//
//   Queue<Order> orders(1024);
//   Program parser({"parse", "--fast", path}, {.output = Stdio::captured(),
//                                              .inherited = {{"orders", orders.fd().get()}}});
//   parser.join();                                  // reads on meanwhile, to the end
//   std::cout << parser.exit_code().value() << parser.output();
//
//   // In the program "parse":
//   auto orders = Queue<Order>::from_fd(inherited_descriptor("orders"));
//
// The first argument is the program: with a slash a path, otherwise looked for in our PATH. It
// starts as a Process's child does: no signal blocked, no handler of ours. Of our descriptors it
// has the three standard ones and those that are listed as inherited, from 3 on, in their order;
// a daemon has one more behind them, which ends it with us (lifeline.h): it must not close that.
// The variable SLUICE_INHERITED tells their names and numbers to inherited_descriptor().
//
// Captured output is read by communicate() and join(), from both streams as it comes, so that no
// amount of it is too much for either side, and kept in memory. Who never calls them has a program
// that waits once a pipe is full (64 KiB).
//
// Units: exit codes as Process. Errors: the constructor throws Error that says which step failed,
// of which program: not found, not executable, no such directory, a file that can't be opened. A
// program that has been started ends as any. inherited_descriptor() throws Error if there is none
// of that name. Misuse is a std::logic_error, as with Process: no arguments, a name of an inherited
// descriptor that has a ',' or ':' in it or is there twice, zero bytes in a text.
//
// Threads: as Process; communicate() by one thread at a time. The calling thread stands still until
// the program has replaced the child, which shares our memory so long (as vfork(2)); no other
// thread does.
//
// If a process dies here: as Process. A program that is killed has its output up to then.
//
// Cost: one clone(2) that copies no page tables, whatever our size, and about twenty system calls.

#ifndef SLUICE_POOL_EXEC_H_
#define SLUICE_POOL_EXEC_H_

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/pool/process.h"
#include "sluice/pool/stdio.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/unique_fd.h"

namespace sluice {

/// Environment variables, by their names.
using Environment = std::map<std::string, std::string>;

/// A copy of ours, to be changed and given to a Program.
[[nodiscard]] Environment current_environment();

/// A descriptor that a Program gets as well.
struct Inherited {
  std::string name;  ///< for inherited_descriptor() there
  int descriptor;    ///< stays the caller's
};

/// How a Program is started; as it comes, with our environment, directory and standard streams.
struct ExecOptions {
  std::string name = {};                        ///< empty: the program's file name
  std::optional<bool> daemon = {};              ///< as StartOptions
  std::optional<Environment> environment = {};  ///< empty: ours
  std::string directory = {};                   ///< its working directory; empty: ours
  Stdio input = Stdio::inherit();               ///< what it reads as standard input
  Stdio output = Stdio::inherit();              ///< where its standard output goes
  Stdio error = Stdio::inherit();               ///< where its standard error goes
  std::vector<Inherited> inherited = {};        ///< its descriptors from 3 on
};

/// Another program in a child, with the face of a Process, and its output if that is captured.
class Program : public Process {
 public:
  /// Starts `arguments[0]` with these arguments, itself the first; returns when it runs. Throws
  /// Error, std::logic_error.
  explicit Program(std::vector<std::string> arguments, ExecOptions options = {});

  /// Feeds it `input`, if that is captured, closes that stream, and reads its captured streams
  /// until it has ended. False if the deadline passed first: nothing that was read is lost, and
  /// another call goes on, with its input behind what is left.
  // NOLINTNEXTLINE(modernize-use-nodiscard)
  bool communicate(std::string_view input, Deadline deadline = Deadline::never());

  /// What has been read of its standard output so far, if that is captured.
  [[nodiscard]] const std::string& output() const noexcept { return output_; }
  /// The same of its standard error.
  [[nodiscard]] const std::string& error() const noexcept { return error_; }

 private:
  /// communicate() without input.
  bool wait(Deadline deadline) override;
  void wait_for_streams(Deadline deadline);
  void feed();

  std::string input_;
  std::size_t fed_ = 0;  ///< of it
  std::string output_;
  std::string error_;
};

/// In a Program: the descriptor that was inherited by this name; a copy of its own for each call.
[[nodiscard]] UniqueFd inherited_descriptor(std::string_view name);

}  // namespace sluice

#endif  // SLUICE_POOL_EXEC_H_
