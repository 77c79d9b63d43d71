// SPDX-License-Identifier: Apache-2.0
//
// A parent and a forked child play ping-pong with a class that has strings and a container, over
// one connection. The class needs one line for that.

#include "sluice/ipc/connection.h"

#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <tuple>

#include "sluice/pool/process.h"

struct Player {
  std::string name;
  std::map<std::string, int> points;

  void score(const std::string& game) { ++points[game]; }
  [[nodiscard]] std::string report() const {
    std::string text = name + ":";
    for (const auto& [game, count] : points) text += " " + game + " " + std::to_string(count);
    return text;
  }

  auto sluice_members() { return std::tie(name, points); }  // the line
};

int main() {
  auto [mine, childs] = sluice::Connection::pair(1 << 16);

  sluice::Process child("child", [&] {
    // Ends when the parent closes its end, or dies.
    while (auto player = childs.recv<Player>()) {
      player->score("pong");  // a method, called on what arrived
      if (childs.send(*player) != sluice::Status::ok) return;
    }
  });

  Player player{"Ada", {}};
  for (int round = 0; round < 3; ++round) {
    player.score("ping");
    if (mine.send(player) != sluice::Status::ok) return EXIT_FAILURE;
    if (mine.recv(player) != sluice::Status::ok) return EXIT_FAILURE;
    std::cout << player.report() << '\n';
  }

  // Sixteen mebibytes do not fit into the ring: they travel in parts.
  player.name.assign(std::size_t{16} << 20, 'A');
  if (mine.send(player) != sluice::Status::ok) return EXIT_FAILURE;
  if (mine.recv(player) != sluice::Status::ok) return EXIT_FAILURE;
  std::cout << "a name of " << player.name.size() << " letters: ping " << player.points["ping"]
            << " pong " << player.points["pong"] << '\n';

  mine.close();
  child.join();
  std::cout << "the child's exit code is " << child.exit_code().value_or(-1) << '\n';
}
