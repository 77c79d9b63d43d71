// SPDX-License-Identifier: Apache-2.0
//
// Two processes that have nothing in common but a name. In one terminal, and then in another:
//
//   named_pipe receive
//   named_pipe send some words

#include <cstdlib>
#include <iostream>
#include <string>

#include "sluice/ipc/pipe.h"
#include "sluice/sync/error.h"

namespace {

constexpr const char* kName = "example-words";

int receive() {
  // Creates the pipe. Its name goes when nobody uses it any more, also after a kill.
  sluice::Receiver words = sluice::Receiver::create(kName);
  std::cout << "waiting for a sender\n" << std::flush;
  std::string word;
  sluice::Status status = words.recv(word);
  for (; status == sluice::Status::ok; status = words.recv(word)) std::cout << word << '\n';
  std::cout << "the stream has ended: " << status << '\n';
  return status == sluice::Status::closed ? EXIT_SUCCESS : EXIT_FAILURE;
}

int send(int count, char** words) {
  sluice::Sender to = sluice::Sender::open(kName);
  for (int i = 0; i < count; ++i) {
    const sluice::Status status = to.send(std::string(words[i]));
    if (status == sluice::Status::ok) continue;
    std::cerr << "not sent: " << words[i] << ": " << status << '\n';
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string role = argc > 1 ? argv[1] : "";
  try {
    if (role == "receive") return receive();
    if (role == "send") return send(argc - 2, argv + 2);
  } catch (const sluice::Error& e) {  // the name is taken, or there is no such name, ...
    std::cerr << e.what() << '\n';
    return EXIT_FAILURE;
  }
  std::cerr << "usage: named_pipe receive | named_pipe send WORD...\n";
  return EXIT_FAILURE;
}
