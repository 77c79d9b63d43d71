// SPDX-License-Identifier: Apache-2.0
//
// The other program of exec_test: adds its argument to the balance that it inherited.

#include <cstdlib>

#include "sluice/ipc/value.h"
#include "sluice/pool/exec.h"

int main(int argc, char** argv) {
  if (argc != 2) return EXIT_FAILURE;
  auto balance = sluice::Value<int>::from_fd(sluice::inherited_descriptor("balance"));
  balance.fetch_add(std::atoi(argv[1]));
}
