// SPDX-License-Identifier: Apache-2.0
//
// Python's multiprocessing.Queue: one process puts bytes, another gets them, both of an interpreter
// that is started for the repetition. What it says is millions of items per second at who gets.
//
//   if (PythonQueue::is_there()) subject.variants.push_back(PythonQueue::stream("", 8, 1024,
//   true));

#ifndef SLUICE_BENCH_RIVALS_PYTHON_QUEUE_H_
#define SLUICE_BENCH_RIVALS_PYTHON_QUEUE_H_

#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/rivals/descriptors.h"

namespace sluice::bench {

class PythonQueue {
 public:
  [[nodiscard]] static bool is_there() {
    return std::system("python3 -c 'import multiprocessing' >/dev/null 2>&1") == 0;
  }

  /// `room` in items: without a limit its feeding thread starves beside who puts. `pinned`: each
  /// process to one CPU, as the other subjects are; but Python's are two threads, and one.
  static Variant stream(const std::string& name, std::size_t bytes, std::size_t room, bool pinned) {
    return {name, [=] {
              // Who has nothing to do sleeps, and leaves the CPU to Python's second process.
              auto end = std::make_shared<Descriptors>(make_pipe(Wait::block));
              return Roles{[=](Slice& slice) {
                             slice.report(0, measure(slice.times(), bytes, room, pinned));
                             if (::write(end->out.get(), "", 1) != 1) {
                               throw std::runtime_error("write failed");
                             }
                           },
                           [=](Slice&) {
                             char byte = 0;
                             if (::read(end->in.get(), &byte, 1) != 1) {
                               throw std::runtime_error("read failed");
                             }
                           }};
            }};
  }

 private:
  // Whoever gets keeps the time. It is longer than the others': an interpreter needs some.
  static constexpr const char* kScript = R"(
import multiprocessing, os, sys, time
size, room = int(sys.argv[1]), int(sys.argv[2])
warm_up, measured, pinned = float(sys.argv[3]), float(sys.argv[4]), sys.argv[5] == '1'
cpus = range(os.cpu_count())
def pin(n):
    try:
        os.sched_setaffinity(0, cpus)
        mine = sorted(os.sched_getaffinity(0))
        if pinned:
            os.sched_setaffinity(0, [mine[n % len(mine)]])
    except OSError:
        pass
def put(queue, stop):
    pin(1)
    item = bytes(size)
    while not stop.value:
        queue.put(item)
    queue.cancel_join_thread()
queue = multiprocessing.Queue(room)
stop = multiprocessing.Value('b', 0, lock=False)
producer = multiprocessing.Process(target=put, args=(queue, stop), daemon=True)
producer.start()
pin(0)
get, clock = queue.get, time.monotonic
get()
until = clock() + warm_up
while clock() < until:
    get()
count, begin = 0, clock()
until = begin + measured
now = begin
while now < until:
    for _ in range(16):
        if len(get()) != size:
            sys.exit('a message of another size')
    count += 16
    now = clock()
print(count / (now - begin) * 1e-6, flush=True)
producer.kill()
os._exit(0)
)";

  static double measure(SliceTimes times, std::size_t bytes, std::size_t room, bool pinned) {
    const auto seconds = [](Clock::duration time) {
      return std::to_string(std::chrono::duration<double>(time).count());
    };
    const std::string command = std::string("exec python3 -c \"$SLUICE_BENCH_SCRIPT\" ") +
                                std::to_string(bytes) + ' ' + std::to_string(room) + ' ' +
                                seconds(10 * times.warm_up) + ' ' + seconds(10 * times.measured) +
                                (pinned ? " 1" : " 0");
    ::setenv("SLUICE_BENCH_SCRIPT", kScript, 1);
    std::FILE* const stream = ::popen(command.c_str(), "r");
    if (stream == nullptr) throw std::runtime_error("no shell for python3");
    double rate = 0;
    const bool said = std::fscanf(stream, "%lf", &rate) == 1;
    if (::pclose(stream) != 0 || !said) throw std::runtime_error("python3 failed");
    return rate;
  }
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_PYTHON_QUEUE_H_
