// SPDX-License-Identifier: Apache-2.0

#include "sluice/tests/support/leftovers.h"

#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string_view>

namespace sluice::tests {
namespace {

namespace fs = std::filesystem;

// Calls fn(name) for each entry and returns the number of the descriptor that was used for it,
// which is closed again.
template <class Fn>
int for_each_entry(const std::string& directory, Fn fn) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(directory.c_str()), closedir);
  if (!dir) return -1;
  while (const dirent* entry = readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") fn(std::string(name));
  }
  return dirfd(dir.get());
}

// Whether `path` is the domain's directory or a file of its registry; also after it was unlinked,
// when /proc shows " (deleted)" behind it.
bool may_stay(const std::string& path, const std::string& domain_directory) {
  if (path == domain_directory || path == domain_directory + " (deleted)") return true;
  return path.starts_with(domain_directory + "/registry-v") ||
         path.starts_with(domain_directory + "/live-v");
}

std::map<pid_t, std::string> children() {
  std::map<pid_t, std::string> found;
  for_each_entry("/proc/self/task", [&](const std::string& thread) {
    std::ifstream list("/proc/self/task/" + thread + "/children");
    for (pid_t pid = 0; list >> pid;) {
      std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
      std::string line;
      std::getline(stat, line);
      const std::size_t open = line.find('(');  // pid (name) state ...
      const std::size_t close = line.rfind(')');
      if (close == std::string::npos || close + 2 >= line.size()) continue;
      found[pid] = line.substr(open + 1, close - open - 1) + ", state " + line[close + 2];
    }
  });
  if (!found.empty()) return found;
  // Without that file in /proc (it is a kernel option) wait() still knows whether there is a child
  // at all.
  siginfo_t info{};
  if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0) {
    found[info.si_pid] = info.si_pid == 0 ? "unknown name, running" : "unknown name, zombie";
  }
  return found;
}

std::map<int, std::string> descriptors(const std::string& domain_directory) {
  std::map<int, std::string> found;
  const int own = for_each_entry("/proc/self/fd", [&](const std::string& number) {
    std::error_code gone;
    const std::string target = fs::read_symlink("/proc/self/fd/" + number, gone).string();
    if (!gone && !may_stay(target, domain_directory)) found[std::stoi(number)] = target;
  });
  found.erase(own);
  return found;
}

std::set<std::string> mappings(const std::string& domain_directory) {
  std::set<std::string> found;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream fields(line);
    std::string skipped;
    std::string rights;
    std::string inode;
    std::string name;
    fields >> skipped >> rights >> skipped >> skipped >> inode >> std::ws;
    std::getline(fields, name);
    const bool shared = rights.size() == 4 && rights[3] == 's';
    const bool segment = shared || name.starts_with("/memfd:");
    if (segment && !may_stay(name, domain_directory)) found.insert(inode.append(" ").append(name));
  }
  return found;
}

std::set<std::string> objects(const std::string& domain_directory) {
  std::set<std::string> found;
  if (domain_directory.empty()) return found;
  for_each_entry(domain_directory, [&](const std::string& name) {
    const std::string path = domain_directory + "/" + name;
    if (!may_stay(path, domain_directory)) found.insert(name);
  });
  return found;
}

}  // namespace

Snapshot take_snapshot(const std::string& domain_directory) {
  return {children(), descriptors(domain_directory), mappings(domain_directory),
          objects(domain_directory)};
}

std::vector<std::string> find_leftovers(const Snapshot& before, const Snapshot& after) {
  std::vector<std::string> found;
  for (const auto& [pid, what] : after.children) {
    if (!before.children.contains(pid))
      found.push_back("left a child: pid " + std::to_string(pid) + " (" + what + ")");
  }
  for (const auto& [number, target] : after.descriptors) {
    const auto old = before.descriptors.find(number);
    if (old == before.descriptors.end() || old->second != target) {
      found.push_back("left a descriptor: " + std::to_string(number) + " -> " + target);
    }
  }
  for (const auto& [number, target] : before.descriptors) {
    if (!after.descriptors.contains(number)) {
      found.push_back("closed a descriptor that is not its own: " + std::to_string(number) +
                      " -> " + target);
    }
  }
  for (const std::string& mapping : after.mappings) {
    if (!before.mappings.contains(mapping)) found.push_back("left a mapping: inode " + mapping);
  }
  for (const std::string& object : after.objects) {
    if (!before.objects.contains(object)) found.push_back("left a file in its domain: " + object);
  }
  return found;
}

void remove_children(const Snapshot& before, const Snapshot& after) {
  for (const auto& [pid, what] : after.children) {
    if (pid <= 0 || before.children.contains(pid)) continue;
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, __WALL);
  }
}

std::string directory_of(const std::string& domain) {
  return "/dev/shm/sluice-" + std::to_string(geteuid()) + "-" + domain;
}

}  // namespace sluice::tests
