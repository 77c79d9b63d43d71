// SPDX-License-Identifier: Apache-2.0
//
// Finds what a test leaves behind: children (zombies too), descriptors, shared mappings, files in
// its domain. Not threads: one that was joined may stay visible in /proc for a moment.
//
//   const Snapshot before = take_snapshot(directory);
//   ...
//   for (const auto& what : find_leftovers(before, take_snapshot(directory))) ADD_FAILURE() <<
//   what;
//
// The registry of a domain may stay, for it outlives its users: its files (registry-v*, live-v*)
// may be open or mapped, and the domain's directory may be open. Nothing else is excused.

#ifndef SLUICE_TESTS_SUPPORT_LEFTOVERS_H_
#define SLUICE_TESTS_SUPPORT_LEFTOVERS_H_

#include <sys/types.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace sluice::tests {

struct Snapshot {
  std::map<pid_t, std::string> children;   ///< pid -> "name, state"
  std::map<int, std::string> descriptors;  ///< number -> what it points to
  std::set<std::string> mappings;          ///< shared ones and memfds: "inode name"
  std::set<std::string> objects;           ///< names of files in the domain's directory
};

/// Looks at this process and at `domain_directory`, which need not exist.
[[nodiscard]] Snapshot take_snapshot(const std::string& domain_directory);

/// What is in `after` and not in `before`, and foreign descriptors that were closed; a text each.
[[nodiscard]] std::vector<std::string> find_leftovers(const Snapshot& before,
                                                      const Snapshot& after);

/// Kills and reaps the children that are not in `before`, so that one bad test does not spoil the
/// next.
void remove_children(const Snapshot& before, const Snapshot& after);

/// Where this user's domain called `domain` lies.
[[nodiscard]] std::string directory_of(const std::string& domain);

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_SUPPORT_LEFTOVERS_H_
