// SPDX-License-Identifier: Apache-2.0
//
// Pictures that are handed from process to process without a copy: a pipe carries 8 bytes each.
// Then a process is killed that has all chunks, and whoever needs one takes it.

#include "sluice/ipc/arena.h"

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <iostream>
#include <optional>

#include "sluice/ipc/pipe.h"
#include "sluice/lockfree/chunk_arena.h"
#include "sluice/pool/process.h"
#include "sluice/sync/status.h"

using sluice::ArenaRef;
using sluice::Status;

int main() {
  const sluice::Arena arena({{.chunk_bytes = 1'000'000, .count = 2}});
  sluice::Pipe pipe = sluice::Pipe::create(4096);
  std::cout << arena->report() << '\n';

  sluice::Process painter([&] {
    const ArenaRef ref = arena->allocate(1'000'000);
    const auto bytes = arena->bytes(ref);
    std::fill(bytes.begin(), bytes.end(), std::byte{7});
    arena->send(ref);
    if (pipe.sender.send(ref) != Status::ok) std::cout << "not sent\n";
  });
  const std::optional<ArenaRef> ref = pipe.receiver.recv<ArenaRef>();
  painter.join();
  if (ref && arena->take(*ref) == Status::ok) {
    std::cout << "the picture begins with " << std::to_integer<int>(arena->bytes(*ref)[0])
              << ", and none of its 1000000 bytes was copied\n";
    arena->free(*ref);
  }

  sluice::Process hoarder([&] {
    arena->allocate(1);
    arena->allocate(1);
    raise(SIGKILL);
  });
  hoarder.join();
  std::cout << arena->report() << '\n';
  const ArenaRef first = arena->allocate(1);
  const ArenaRef second = arena->allocate(1);
  arena->free(first);
  std::cout << arena->report() << '\n';
  arena->free(second);
}
