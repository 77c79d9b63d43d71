// SPDX-License-Identifier: Apache-2.0
//
// The newest quote of a feed, in shared memory. The feed is killed in the middle of an update:
// whoever reads still gets the last whole quote, at once, and another feed goes on.

#include "sluice/lockfree/latest.h"

#include <sys/mman.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <new>

#include "sluice/pool/process.h"

struct Quote {
  double bid, ask;
  long number;

  bool operator==(const Quote&) const = default;
};

using Newest = sluice::Latest<Quote>;

namespace {

std::ostream& operator<<(std::ostream& out, const Quote& quote) {
  return out << "quote " << quote.number << ": " << quote.bid << " to " << quote.ask;
}

}  // namespace

int main() {
  void* memory =
      mmap(nullptr, sizeof(Newest), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return EXIT_FAILURE;
  Newest& newest = *new (memory) Newest;

  sluice::Process feed("feed", [&] {
    for (long n = 1; n <= 3; ++n) newest.store({99.5, 99.5 + 0.25 * static_cast<double>(n), n});
    newest.update([](Quote& quote) {
      quote.number = 4;
      quote.bid = 1e9;
      raise(SIGKILL);
    });
  });
  feed.join();
  std::cout << "feed ended with " << feed.exit_code().value_or(0) << '\n' << newest.load() << '\n';

  const Quote seen = newest.load();
  sluice::Process next("next feed", [&] { newest.store({99.75, 100.25, seen.number + 1}); });
  std::cout << newest.wait(seen) << '\n';
  next.join();
}
