// SPDX-License-Identifier: Apache-2.0
//
// A producer sends item after item and closes its end; the consumer takes them to the end of the
// stream. Each process closes the end that it does not use, as one does with pipes; with `forget`
// nobody closes anything, and the program ends all the same.

#include <iostream>
#include <optional>
#include <string_view>

#include "sluice/ipc/pipe.h"
#include "sluice/pool/process.h"

int main(int argc, char** argv) {
  const bool forget = argc > 1 && std::string_view(argv[1]) == "forget";
  auto [out, in] = sluice::Pipe::create();

  sluice::Process consumer([&] {
    if (!forget) in.close();
    while (const std::optional<int> item = out.recv<int>()) std::cout << *item << '\n';
    std::cout << "the consumer has seen the end\n" << std::flush;
  });
  sluice::Process producer([&] {
    if (!forget) out.close();
    for (int item = 0; item < 10; ++item) in.send_or_throw(item);
    if (!forget) in.close();
  });

  if (!forget) {
    in.close();
    out.close();
  }
  producer.join();
  consumer.join();
  std::cout << "main\n";
}
