// SPDX-License-Identifier: Apache-2.0
//
// An object of one's own goes through a queue: it arrives as a copy, with what its members hold,
// and its functions work there.

#include <iostream>
#include <string>
#include <tuple>
#include <utility>

#include "sluice/ipc/queue.h"
#include "sluice/pool/process.h"
#include "sluice/sync/status.h"

class Fancy {
 public:
  Fancy() = default;
  explicit Fancy(std::string name) : name_(std::move(name)) {}
  void do_something(const std::string& where) const {
    std::cout << "Doing something fancy in " << where << " for " << name_ << "!\n" << std::flush;
  }
  auto sluice_members() { return std::tie(name_); }

 private:
  std::string name_;
};

int main() {
  sluice::Queue<Fancy> queue;
  sluice::Process worker("Process-1", [&] {
    while (const auto item = queue.pop()) item->do_something("Process-1");
  });
  if (queue.push(Fancy("Fancy Dan")) != sluice::Status::ok) return 1;
  queue.close();
  worker.join();
}
