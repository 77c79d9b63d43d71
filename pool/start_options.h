// SPDX-License-Identifier: Apache-2.0
//
// StartOptions: how a Process or a Thread is started. A plain value. If a process dies here:
// nothing is shared.
//
//   Process feed({.name = "feed", .daemon = true}, [&] { read_feed(tx); });
//   Process later({.start = Start::later}, work);
//   later.start();

#ifndef SLUICE_POOL_START_OPTIONS_H_
#define SLUICE_POOL_START_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace sluice {

/// When a Process or a Thread begins to run.
enum class Start : std::uint8_t {
  now,    ///< by the constructor
  later,  ///< by start()
};

/// How a Process or a Thread is started; as it comes, at once, and with a name that is made up.
struct StartOptions {
  /// What people see; `ps` and `top` show 15 bytes of it. Empty: "Process-1", "Thread-1", ..., or
  /// with the name of the user's own class.
  std::string name = {};

  /// A daemon process ends with the process that started it, a daemon thread is not waited for at
  /// the end of its process. Empty: as who starts it, so that a daemon's whole tree ends with it.
  std::optional<bool> daemon = {};

  /// Says nothing to a derived class with a run() of its own: that is always started by start().
  Start start = Start::now;

  /// Of a thread, in bytes; 0: what the system gives. A process has the stack of the thread that
  /// starts it.
  std::size_t stack_size = 0;
};

}  // namespace sluice

#endif  // SLUICE_POOL_START_OPTIONS_H_
