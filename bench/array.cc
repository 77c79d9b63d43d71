// SPDX-License-Identifier: Apache-2.0
//
// Array under its lock, beside a plain one with a pthread mutex and Boost.Interprocess's vector
// with its mutex. docs/benchmarking.md has the method and says how to read the table.
//
//   ./bazelw run -c opt //bench:array -- --json=array.json

#include "sluice/bench/array_cases.h"
#include "sluice/bench/harness/suite.h"

int main(int argc, char** argv) {
  sluice::bench::Suite suite;
  sluice::bench::add_array_cases(suite);
  return suite.run(argc, argv);
}
