// SPDX-License-Identifier: Apache-2.0
//
// Another program: sort(1) is fed three words, and what it writes is kept.

#include <iostream>

#include "sluice/pool/exec.h"
#include "sluice/pool/stdio.h"

int main() {
  using sluice::Stdio;
  sluice::Program sort({"sort", "--reverse"},
                       {.input = Stdio::captured(), .output = Stdio::captured()});
  sort.communicate("pear\napple\nquince\n");
  std::cout << sort.output() << sort.name() << " ended with " << sort.exit_code().value() << '\n';
}
