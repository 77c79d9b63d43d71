// SPDX-License-Identifier: Apache-2.0
//
// Lets a test act when another thread or process has gone to sleep, without sleeping itself: looks
// at the kernel's state of it. What it sleeps on is not known, so a test must hold either way; this
// makes the interesting order likely, it does not prove it.

#ifndef SLUICE_TESTS_SYNC_ASLEEP_H_
#define SLUICE_TESTS_SYNC_ASLEEP_H_

#include <sched.h>
#include <sys/types.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace sluice::tests {

/// The state letter of a thread (R, S, T, Z, ...); 'X' if there is no such thread.
inline char state_of(pid_t thread) {
  std::ifstream stat("/proc/" + std::to_string(thread) + "/stat");
  std::string line;
  std::getline(stat, line);
  const auto end_of_name = line.rfind(')');
  return end_of_name == std::string::npos ? 'X' : line.at(end_of_name + 2);
}

inline bool wait_for_state(pid_t thread, char wanted) {
  for (char state = state_of(thread); state != 'X'; state = state_of(thread)) {
    if (state == wanted) return true;
    sched_yield();
  }
  return false;
}

/// Returns when `thread` is asleep in the kernel; false if it has ended.
inline bool wait_until_asleep(pid_t thread) { return wait_for_state(thread, 'S'); }

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_SYNC_ASLEEP_H_
