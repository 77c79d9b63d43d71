// SPDX-License-Identifier: Apache-2.0
//
// Three workers and many clients: three pids answer; a fourth client waits until another leaves; a
// worker that is killed is replaced while its clients wait.

#include "sluice/examples/servers/prefork.h"

#include <signal.h>

#include <filesystem>
#include <iostream>
#include <set>
#include <thread>
#include <vector>

int main() {
  const std::string path = std::filesystem::temp_directory_path() / std::to_string(getpid());
  PreforkServer server(path, 3);
  const auto pid_of = [](int client) { return std::stoi(ask(client, "who?\n")); };

  std::set<int> pids;
  for (int round = 0; round < 10; ++round) {
    std::vector<int> clients(3);
    for (int& client : clients) {
      client = unix_socket(path, false);
      pids.insert(pid_of(client));
    }
    for (const int client : clients) close(client);
  }
  std::cout << "30 clients, " << pids.size() << " pids\n";

  std::vector<int> clients(3);
  for (int& client : clients) pid_of(client = unix_socket(path, false));
  std::cout << "three clients are served; a fourth comes\n";
  std::thread fourth([&] {
    const int client = unix_socket(path, false);
    std::cout << "the fourth is answered: " << pids.count(pid_of(client)) << '\n';
    close(client);
  });
  std::cout << "the first leaves\n";
  close(clients[0]);
  fourth.join();

  const int killed = pid_of(clients[1]);
  kill(killed, SIGKILL);
  std::cout << "a worker is killed; its client hears '" << ask(clients[1], "there?\n") << "'\n";
  const int next = unix_socket(path, false);
  const int other = unix_socket(path, false);
  std::cout << "two more are served, not by the dead one: "
            << (pid_of(next) != killed && pid_of(other) != killed) << '\n';
  std::filesystem::remove(path);
}
