// SPDX-License-Identifier: Apache-2.0
//
// QueueBench: compares queues in one run, each from its adapter (testkit/queue_adapter.h). Not for
// figures of a busy machine, nor for what takes longer than some milliseconds.
//
//   int main(int argc, char** argv) {
//     sluice::testkit::QueueBench bench;
//     bench.add<MyAdapter>("mine");
//     bench.add<Other>("boost");
//     return bench.run(argc, argv);    // --quick, --json=FILE, --runs=N and Google Benchmark's
//     flags
//   }
//
//   queue/oneway/8, /64     Mmsg/s  one stream, one producer, one consumer
//   queue/rtt/8             ns      there and back through two queues: median block, p99, p99.9
//   queue/rtt_waiting/8     ns      the same by push() and pop(), which may sleep
//   queue/latency/64        ns      from before a push to after its pop, a message each 2 us: p50,
//                                   p99, p99.9, with the reading of a clock in it
//   queue/1x1/8 ... 8x8/8   Mitem/s so many producers and consumers; on two CPUs all but the first
//                                   are oversubscribed
//
// How it is measured: on the harness of the project (bench/harness): repetitions of all queues and
// cases, interleaved in random order, each beside yardsticks (what the machine can do at that
// moment, without any queue) and dropped if these moved. Adapters that work between processes are
// measured between processes, others between threads, on two CPUs in turns; the benchmark's name
// says which. Each item is checked: one that is lost, repeated, torn, or out of the order that the
// adapter names ends the run with an error. The first queue is the one that the others are compared
// with: [x] says that it is x times as good.
//
// Not measured: a case that an adapter's constraint or traits forbid (one producer only, say); one
// way and latency, where the order is not that of the producer.
//
// Units: above; capacity is 1024 items. Errors: run() returns 1 if the command line is wrong or a
// queue fails, and says so. Threads and processes: those of the harness. If a process dies here:
// its repetition ends, and all of its processes with it. Cost: some half a minute for each queue.

#ifndef SLUICE_TESTKIT_QUEUE_BENCH_H_
#define SLUICE_TESTKIT_QUEUE_BENCH_H_

#include <cstddef>
#include <string>
#include <vector>

#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_traffic.h"

namespace sluice::testkit {

/// The queues of one run, each with the cases that it can do.
class QueueBench {
 public:
  /// Takes it into each case that its constraint and traits allow; measures nothing yet. The first
  /// one is what the others are compared with.
  template <template <class> class Adapter>
  void add(const std::string& name) {
    static_assert(Carries<Adapter, bench::Message<8>>, "a queue of plain structs is compared");
    using Small = Adapter<bench::Message<8>>;
    add_one_way<Adapter, 8>(name);
    add_one_way<Adapter, 64>(name);
    add_to(internal::round_trip_case("queue/rtt/8"), name,
           {internal::round_trips<Small, internal::Way::tries>("pause"),
            internal::round_trips<Small, internal::Way::tries_at_once>("bare")});
    if constexpr (BlockingAdapter<Small>) {
      add_to(internal::round_trip_case("queue/rtt_waiting/8"), name,
             {internal::round_trips<Small, internal::Way::waits>("")});
    }
    if constexpr (Carries<Adapter, bench::Message<64>>) {
      if constexpr (internal::keeps_order<Adapter<bench::Message<64>>>()) {
        add_to(internal::latency_case(), name,
               {internal::latencies<Adapter<bench::Message<64>>>("")});
      }
    }
    for (const std::size_t sides : {1, 2, 4, 8}) {
      if (sides > Small::kTraits.producers || sides > Small::kTraits.consumers) break;
      add_to(internal::many_case(sides), name, {internal::many<Small>("", sides)});
    }
  }

  /// Measures what the command line asks for, and prints it; main's result.
  int run(int argc, char** argv);

 private:
  struct Entry {
    bench::Case what;
    std::vector<bench::Subject> subjects;
  };

  template <template <class> class Adapter, std::size_t kBytes>
  void add_one_way(const std::string& name) {
    if constexpr (Carries<Adapter, bench::Message<kBytes>>) {
      using A = Adapter<bench::Message<kBytes>>;
      if constexpr (internal::keeps_order<A>()) {
        add_to(internal::one_way_case(kBytes), name,
               {internal::streams<A, internal::Way::tries>("pause"),
                internal::streams<A, internal::Way::tries_at_once>("bare")});
      }
    }
  }

  void add_to(const bench::Case& what, const std::string& name,
              const std::vector<bench::Variant>& variants);

  std::string first_;
  std::vector<Entry> entries_;
};

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_QUEUE_BENCH_H_
