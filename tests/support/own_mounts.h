// SPDX-License-Identifier: Apache-2.0
//
// Gives a child of a test mounts of its own, so that it can have a /dev/shm that is tiny, or
// read-only. Call it in a child that has one thread and has not attached to its domain yet.
//
//   ChildParty child([] {
//     if (!own_mounts()) return;                        // not allowed here: nothing to be seen
//     mount_tmpfs("/dev/shm", "size=256k");
//     EXPECT_THROW(Segment::create(...), Error);
//   });

#ifndef SLUICE_TESTS_SUPPORT_OWN_MOUNTS_H_
#define SLUICE_TESTS_SUPPORT_OWN_MOUNTS_H_

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iostream>
#include <string>
#include <system_error>

namespace sluice::tests {

/// False, with a line that says so, where neither root's rights nor a user namespace can be had.
inline bool own_mounts() {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  bool entered = unshare(CLONE_NEWNS) == 0;
  if (!entered && unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) {
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << uid << ' ' << uid << " 1";
    std::ofstream("/proc/self/gid_map") << gid << ' ' << gid << " 1";
    entered = true;
  }
  if (entered && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0) return true;
  std::cout << "[  SKIPPED ] no mounts of its own: " << std::generic_category().message(errno)
            << std::endl;
  return false;
}

/// `flags` as mount(2) has them; with MS_REMOUNT it changes what is there.
inline void mount_tmpfs(const char* path, const std::string& options, unsigned long flags = 0) {
  if (mount("tmpfs", path, "tmpfs", flags, options.c_str()) != 0) {
    throw std::system_error(errno, std::system_category(), "mount");
  }
}

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_SUPPORT_OWN_MOUNTS_H_
