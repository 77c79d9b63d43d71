// SPDX-License-Identifier: Apache-2.0
//
// map() gives results in the order of its input, however the tasks end; imap()
// too, one by one; imap_unordered() as they come; starmap() takes tuples.

#include <algorithm>
#include <chrono>
#include <iostream>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "sluice/pool/pool.h"

namespace {
std::string shout(std::string name) {
  std::this_thread::sleep_for(std::chrono::milliseconds(name == "t1" ? 20 : 1));
  std::ranges::transform(name, name.begin(), [](char c) { return c == 't' ? 'T' : c; });
  return name;
}
}  // namespace

int main() {
  const std::vector<std::string> names = {"t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8"};
  sluice::Pool pool(5);
  for (const std::string &name : pool.map(shout, names)) std::cout << name << ' ';
  std::cout << '\n';
  for (const std::string &name : pool.imap(shout, names)) std::cout << name << ' ';
  std::cout << '\n';
  std::vector<std::string> any;
  for (std::string &name : pool.imap_unordered(shout, names)) any.push_back(std::move(name));
  std::ranges::sort(any);
  std::cout << any.size() << " in some order, from " << any.front() << " to " << any.back() << '\n';
  const std::vector<std::tuple<int, int>> pairs = {{2, 5}, {3, 2}};
  for (const int power : pool.starmap(
           [](int base, int n) {
             int power = 1;
             for (int i = 0; i < n; ++i) power *= base;
             return power;
           },
           pairs)) {
    std::cout << power << ' ';
  }
  std::cout << '\n';
}
