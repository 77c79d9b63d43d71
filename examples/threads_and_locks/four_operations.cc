// SPDX-License-Identifier: Apache-2.0
//
// Two numbers, four operations, a thread for each of them.

#include <iostream>
#include <syncstream>

#include "sluice/pool/thread.h"

namespace {

void tell(const char* what, double result) {
  std::osyncstream(std::cout) << sluice::this_thread::name() << ": " << what << ' ' << result
                              << '\n';
}

}  // namespace

int main() {
  const double a = 8;
  const double b = 2;
  const sluice::Thread add("add", [=] { tell("8 + 2 =", a + b); });
  const sluice::Thread subtract("subtract", [=] { tell("8 - 2 =", a - b); });
  const sluice::Thread multiply("multiply", [=] { tell("8 * 2 =", a * b); });
  const sluice::Thread divide("divide", [=] { tell("8 / 2 =", a / b); });
}  // who goes out of scope is joined
