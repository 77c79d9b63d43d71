// SPDX-License-Identifier: Apache-2.0
//
// Internal: the forked processes of the crash harness and of the kill stress, and what they say.
//
// If a process dies here: a child dies with the thread that forked it, and what it said lies in
// shared memory, which outlives it.

#ifndef SLUICE_TESTKIT_CHILD_H_
#define SLUICE_TESTKIT_CHILD_H_

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>

namespace sluice::internal {

/// A forked process that leads a process group of its own; at the latest the destructor kills the
/// group and reaps.
class Child {
 public:
  explicit Child(const std::function<void()>& body);
  ~Child() { end(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  /// Waits for a ptrace stop or the end. True if it stopped.
  bool wait_for_stop();
  /// The same without waiting: nothing if it is neither stopped nor at its end.
  std::optional<bool> poll_stop();
  /// Waits for the end, without reaping. False if the time is over first.
  [[nodiscard]] bool wait_for_end(std::chrono::milliseconds limit) const;
  /// True if it waits in a system call (or has ended) and nothing has woken it yet.
  [[nodiscard]] bool sleeps() const;

  /// Kills the group and reaps. The leader is reaped last, so that the group's number can't have
  /// passed to others.
  void end() noexcept;
  /// As waitpid() gave it last.
  [[nodiscard]] int status() const noexcept { return status_; }

 private:
  pid_t pid_ = -1;
  int status_ = 0;
  bool reaped_ = false;
};

/// A few words that a child leaves behind, in shared memory.
struct Words {
  static constexpr std::size_t kSize = 1000;
  char text[kSize] = {};

  void say(const std::string& what) noexcept { text[what.copy(text, kSize - 1)] = '\0'; }
};

/// What a child answers that checks something. In shared memory.
struct Answer {
  enum class Verdict : std::uint32_t { none, good, bad };
  std::atomic<Verdict> verdict{Verdict::none};
  Words words;
};
static_assert(std::atomic<Answer::Verdict>::is_always_lock_free,
              "a lock inside the atomic would be left behind by the dead");

/// Runs `body`, which returns what is wrong, in a fresh process. Returns what is wrong, or an empty
/// string: what it returned or threw, how it died, or that it was not ready within the limit and
/// was killed. `who` begins the sentence.
std::string ask(const std::string& who, const std::function<std::string()>& body,
                std::chrono::milliseconds limit, Answer& answer);

/// The two halves of ask(): what the child runs, and what its parent makes of it.
void give_answer(const std::string& who, const std::function<std::string()>& body,
                 Answer& answer) noexcept;
std::string take_answer(const std::string& who, Child& child, std::chrono::milliseconds limit,
                        const Answer& answer);

[[nodiscard]] std::string text_of(const std::exception_ptr& thrown);
/// "was killed by signal 9 (Killed)".
[[nodiscard]] std::string how_it_ended(int status);

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_CHILD_H_
