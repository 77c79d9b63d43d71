// SPDX-License-Identifier: Apache-2.0
//
// Two values under names: a number in which four players count, and a struct with the best of them.
// There is no lock; one player is killed in the midst of an update, and nobody notices. `value
// stay` leaves both under their names, for ./bazelw run //ipc:inspect; `value remove` removes them.

#include "sluice/ipc/value.h"

#include <signal.h>

#include <iostream>
#include <string_view>
#include <vector>

#include "sluice/ipc/stamp.h"
#include "sluice/pool/process.h"

struct Best {
  static constexpr std::string_view kTypeName = "example.Best";
  int player;
  int points;
};

namespace {

constexpr const char* kRounds = "example-rounds";
constexpr const char* kBest = "example-best";

void play(int player) {
  auto rounds = sluice::Value<long>::open(kRounds);  // as any program could
  auto best = sluice::Value<Best>::open(kBest);
  for (int round = 1; round <= 1000; ++round) {
    const int points = (player * 7919 + round * 104729) % 10'007;
    best.update([&](Best& so_far) {
      if (player == 3 && round == 500) raise(SIGKILL);
      if (points > so_far.points) so_far = {player, points};
    });
    rounds.fetch_add(1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view wish = argc > 1 ? argv[1] : "";
  if (wish == "remove") {
    return sluice::Value<long>::remove(kRounds) && sluice::Value<Best>::remove(kBest) ? 0 : 1;
  }
  const auto lifetime =
      wish == "stay" ? sluice::Lifetime::until_removed : sluice::Lifetime::while_used;
  auto rounds = sluice::Value<long>::create(kRounds, 0, lifetime);
  auto best = sluice::Value<Best>::create(kBest, Best{}, lifetime);
  std::vector<sluice::Process> players;
  players.reserve(4);
  for (int player = 0; player < 4; ++player) players.emplace_back(play, player);
  for (auto& player : players) player.join();
  std::cout << rounds.load() << " rounds; player " << best.load().player << " has "
            << best.load().points << " points\n";
}
