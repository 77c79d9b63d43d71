// SPDX-License-Identifier: Apache-2.0
//
// A map of strings in shared memory, with Boost's containers under sluice's lock. A process is
// killed in the middle of a change: nobody gets to see the half-changed map, until it is repaired.

#include <boost/interprocess/containers/map.hpp>
#include <boost/interprocess/containers/string.hpp>
#include <csignal>
#include <functional>
#include <iostream>
#include <string>
#include <utility>

#include "sluice/ipc/boost_interprocess.h"
#include "sluice/pool/process.h"
#include "sluice/sync/owner_died.h"

using sluice::BoostAllocator;
using sluice::BoostSegment;
using Access = BoostSegment::Access;
using Text = boost::interprocess::basic_string<char, std::char_traits<char>, BoostAllocator<char>>;
using Prices =
    boost::interprocess::map<Text, int, std::less<>, BoostAllocator<std::pair<const Text, int>>>;

namespace {
Prices& prices_in(Access& access) {
  return access.find_or_construct<Prices>("prices", std::less<>(), access.allocator<char>());
}

void print(Access& access) {
  std::cout << prices_in(access).size() << " prices";
  for (const auto& [what, price] : prices_in(access)) {
    std::cout << (what == "bread" ? ": " : " ") << what << ' ' << price;
  }
  std::cout << '\n';
}

}  // namespace

int main() {
  BoostSegment shop(1 << 16);
  sluice::Process first([&] {
    shop.with_lock([](Access& access) {
      prices_in(access).emplace(Text("bread", access.allocator<char>()), 3);
      prices_in(access).emplace(Text("milk", access.allocator<char>()), 2);
    });
  });
  first.join();
  shop.with_lock(print);

  sluice::Process second([&] { shop.with_lock([](Access&) { raise(SIGKILL); }); });
  second.join();
  try {
    shop.with_lock(print);
  } catch (const sluice::OwnerDied&) {
    std::cout << "refused: half changed, perhaps\n";
  }
  std::cout << "repaired: ";
  shop.with_lock(print, [](Access& access) { access.clear(); });
}
