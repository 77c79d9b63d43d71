// SPDX-License-Identifier: Apache-2.0
//
// Two accounts under a Mutex in shared memory. A process is killed after it has taken from the one
// and before it has given to the other. The next to lock is told so, and repairs.

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <string_view>

#include "sluice/ipc/shared.h"
#include "sluice/pool/process.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/owner_died.h"

struct Bank {
  static constexpr std::string_view kTypeName = "example.Bank";

  sluice::Mutex mutex;
  long left = 1000, right = 0;  // their sum never changes

  void move(long amount, bool dies) {
    const std::scoped_lock hold(mutex);
    left -= amount;
    if (dies) raise(SIGKILL);
    right += amount;
  }

  /// Wherever move() was cut off: what the left has lost, the right gets.
  void repair() { right = 1000 - left; }
};

int main() {
  const sluice::Shared<Bank> bank;

  sluice::Process clerk("clerk", [&] {
    for (int i = 0; i < 4; ++i) bank->move(100, i == 3);
  });
  clerk.join();

  bool told = false;
  try {
    bank->move(50, false);
  } catch (const sluice::OwnerDied&) {
    told = true;  // and the lock is not held
  }
  bank->mutex.lock([&] { bank->repair(); });
  const long left = bank->left;
  const long right = bank->right;
  bank->mutex.unlock();
  std::cout << "clerk ended with " << clerk.exit_code().value_or(0) << '\n'
            << (told ? "the next one was told\n" : "nobody was told\n") << left << " + " << right
            << '\n';
  return told && left + right == 1000 ? EXIT_SUCCESS : EXIT_FAILURE;
}
