// SPDX-License-Identifier: Apache-2.0
//
// A service takes orders from processes that it does not trust. It looks who they are, copies what
// they say before it believes it, and hands a file to one of them. A client that is killed is told
// apart from one that closes.

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <tuple>

#include "sluice/ipc/sealed_connection.h"
#include "sluice/pool/process.h"

using namespace std::chrono_literals;

struct Order {
  std::string item;
  bool urgent = false;
  auto sluice_members() { return std::tie(item, urgent); }  // checked, member by member
};

namespace {
void client(const std::string& address, bool dies) {
  auto service = sluice::SealedConnection::connect(address, 10s);
  static_cast<void>(service.send(Order{dies ? "tea" : "coffee", dies}));
  sluice::UniqueFd receipt;
  if (service.recv_fd(receipt, 10s) == sluice::Status::ok) {
    const std::string text = "thank you";
    static_cast<void>(write(receipt.get(), text.data(), text.size()) > 0);
  }
  if (dies) raise(SIGKILL);
}

}  // namespace

int main() {
  sluice::SealedListener listener("@sluice-example-" + std::to_string(getpid()));
  for (const bool dies : {false, true}) {
    sluice::Process process("client", [&] { client(listener.address(), dies); });
    auto connection = listener.accept(10s);
    if (!connection || connection->credentials().uid != geteuid()) return EXIT_FAILURE;
    std::FILE* const receipt = std::tmpfile();
    if (connection->send_fd(fileno(receipt)) != sluice::Status::ok) return EXIT_FAILURE;
    while (auto order = connection->recv<Order>()) {
      std::cout << order->item << (order->urgent ? ", at once" : "") << '\n';
    }
    char text[16] = {};
    std::cout << "the client: " << connection->status() << ", and wrote \""
              << (pread(fileno(receipt), text, sizeof text - 1, 0) > 0 ? text : "") << "\"\n";
    std::fclose(receipt);
    process.join();
  }
}
