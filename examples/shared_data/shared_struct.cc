// SPDX-License-Identifier: Apache-2.0
//
// A struct of your own in shared memory: four processes meet by its name and count votes in it;
// whoever comes first makes it. Who asks for the same name with another struct is told so.

#include <array>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <string_view>
#include <vector>

#include "sluice/ipc/shared.h"
#include "sluice/pool/process.h"
#include "sluice/sync/error.h"
#include "sluice/sync/mutex.h"

struct Ballot {
  // What other programs know it by; a change of the struct gets a new name.
  static constexpr std::string_view kTypeName = "example.Ballot/1";
  sluice::Mutex mutex;
  int seats = 3;
  std::array<long, 2> votes = {};

  void vote(std::size_t party) {
    const std::scoped_lock hold(mutex);
    ++votes[party];
  }
};

struct Poll {
  static constexpr std::string_view kTypeName = "example.Poll/1";
  long yes, no;
};

namespace {

void count_votes(std::size_t party) {
  auto ballot = sluice::Shared<Ballot>::open_or_create("example-ballot");
  for (int i = 0; i < 1000; ++i) ballot->vote(party);
}

}  // namespace

int main() {
  // Held here, too, so that the last process to end does not take the name along.
  const auto ballot = sluice::Shared<Ballot>::open_or_create("example-ballot");
  std::vector<sluice::Process> offices;
  offices.reserve(4);
  for (std::size_t i = 0; i < 4; ++i) offices.emplace_back("office", [i] { count_votes(i % 2); });
  for (sluice::Process& office : offices) office.join();
  const auto [yes, no] = ballot->votes;
  std::cout << "for " << ballot->seats << " seats: " << yes << " and " << no << '\n';
  try {
    sluice::Shared<Poll>::open("example-ballot");
  } catch (const sluice::Error& e) {
    std::cout << "as a Poll: " << e.code().message() << '\n';
  }
  return yes + no == 4000 ? EXIT_SUCCESS : EXIT_FAILURE;
}
