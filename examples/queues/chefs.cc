// SPDX-License-Identifier: Apache-2.0
//
// Three chefs put dishes on a counter that holds ten, ten customers take them. The original runs
// for ever: here `--rounds N` says how many dishes each chef makes (10), and the counter closes
// when the chefs have gone home.

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "sluice/ipc/queue.h"
#include "sluice/pool/process.h"
#include "sluice/sync/status.h"

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  const int rounds = argc > 2 && std::string_view(argv[1]) == "--rounds" ? std::atoi(argv[2]) : 10;
  sluice::Queue<std::string> counter(10);
  sluice::Queue<std::pair<int, std::string>> meals;  // who ate what

  std::list<sluice::Process> chefs;
  for (const std::string name : {"Anna", "Bruno", "Clara"}) {
    chefs.emplace_back("chef " + name, [&counter, name, rounds] {
      for (int i = 0; i < rounds; ++i) {
        std::this_thread::sleep_for(2ms);
        if (counter.push("a dish by " + name) != sluice::Status::ok) return;
      }
    });
  }
  std::list<sluice::Process> customers;
  for (int number = 0; number < 10; ++number) {
    customers.emplace_back("customer " + std::to_string(number), [&, number] {
      for (const std::string& dish : counter.items()) {
        if (meals.push({number, dish}) != sluice::Status::ok) return;
        std::this_thread::sleep_for(1ms);
      }
    });
  }

  for (sluice::Process& chef : chefs) chef.join();
  counter.close();
  for (sluice::Process& customer : customers) customer.join();
  meals.close();
  std::map<std::string, int> eaten;
  for (const auto& [who, dish] : meals.items()) ++eaten[dish];
  for (const auto& [dish, times] : eaten) std::cout << dish << ": " << times << '\n';
  std::cout << "left on the counter: " << counter.size() << '\n';
}
