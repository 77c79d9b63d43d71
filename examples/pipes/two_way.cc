// SPDX-License-Identifier: Apache-2.0
//
// Two processes talk over one connection, each in its own words.

#include <iostream>
#include <string>

#include "sluice/ipc/connection.h"
#include "sluice/pool/process.h"

namespace {

std::string next_from(sluice::Connection& end) {
  std::string text;
  if (end.recv(text) != sluice::Status::ok) text = "(nobody there)";
  return text;
}

void talk(const std::string& of_the_child, const std::string& of_the_parent) {
  auto [parents, childs] = sluice::Connection::pair();
  sluice::Process child([&end = childs, &of_the_child] {
    end.send_or_throw(of_the_child);
    std::cout << "the child hears: " << next_from(end) << '\n' << std::flush;
  });
  std::cout << "the parent hears: " << next_from(parents) << '\n' << std::flush;
  parents.send_or_throw(of_the_parent);
  child.join();
}

}  // namespace

int main() {
  talk("hello world", "hi son");
  talk("你好!", "hello!");
}
