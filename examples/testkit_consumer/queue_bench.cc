// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/queue_bench.h"

#include "adapter.h"

int main(int argc, char** argv) {
  sluice::testkit::QueueBench bench;
  bench.add<Adapter>("mine");
  return bench.run(argc, argv);
}
