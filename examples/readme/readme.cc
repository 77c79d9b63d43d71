// SPDX-License-Identifier: Apache-2.0
//
// The code of README.md, whole. //examples/readme:readme_test checks that the two agree.

// [README]
#include <iostream>

#include "sluice/ipc/pipe.h"
#include "sluice/pool/process.h"

struct Tick {
  int id;
  double price;
};

int main() {
  auto [rx, tx] = sluice::Pipe::create();
  sluice::Process feed("feed", [&tx = tx] {
    for (int id = 1; tx.send(Tick{id, 100.0 + id}) == sluice::Status::ok; ++id) {
    }  // until the receiver closes, or dies
  });
  tx.close();  // this process will not send; were the child killed, recv would say so
  for (int n = 0; n < 3; ++n) {
    if (auto tick = rx.recv<Tick>()) std::cout << tick->id << ' ' << tick->price << '\n';
  }
  rx.close();
  feed.join();
  std::cout << feed << '\n';
}
// [/README]
