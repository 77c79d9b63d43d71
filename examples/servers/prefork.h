// SPDX-License-Identifier: Apache-2.0
//
// A prefork server on a Unix socket: as many workers as there are, each with one client at a time.
// Each line is answered with the worker's pid and the line. The kernel hands out the clients: a
// worker takes the next one when its own has left. One that is killed has its task started again,
// in its replacement.

#ifndef SLUICE_EXAMPLES_SERVERS_PREFORK_H_
#define SLUICE_EXAMPLES_SERVERS_PREFORK_H_

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <system_error>

#include "sluice/pool/pool.h"

inline int unix_socket(const std::string& path, bool listens) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const auto* const to = reinterpret_cast<const sockaddr*>(&address);
  const bool ok = listens ? bind(fd, to, sizeof address) == 0 && listen(fd, 1024) == 0
                          : connect(fd, to, sizeof address) == 0;
  if (!ok) throw std::system_error(errno, std::generic_category(), path);
  return fd;
}

/// Sends a line and reads one; empty if the other side has left.
inline std::string ask(int fd, const std::string& line) {
  char answer[256] = {};
  if (send(fd, line.data(), line.size(), MSG_NOSIGNAL) < 0) return "";
  return read(fd, answer, sizeof answer - 1) > 0 ? answer : "";
}

inline void serve(int listener) {
  for (;;) {
    const int client = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    char line[200] = {};
    for (ssize_t n = 0; (n = read(client, line, sizeof line - 1)) > 0;) {
      dprintf(client, "%d %.*s", getpid(), static_cast<int>(n), line);
    }
    close(client);
  }
}

class PreforkServer {
 public:
  PreforkServer(const std::string& path, unsigned workers)
      : listener_(unix_socket(path, true)), pool_(workers) {
    const sluice::TaskOptions again = {.max_attempts = 1000};
    for (unsigned i = 0; i < workers; ++i) pool_.submit(again, serve, listener_);
  }

 private:
  int listener_;
  sluice::Pool pool_;
};

#endif  // SLUICE_EXAMPLES_SERVERS_PREFORK_H_
