// SPDX-License-Identifier: Apache-2.0
//
// Python's multiprocessing.Pool and concurrent.futures.ProcessPoolExecutor of two workers, each in
// an interpreter that is started for the repetition, free to use all CPUs as sluice's pool is.
//
//   subject.variants.push_back(PythonPool::variant("", PythonPool::kSubmit));

#ifndef SLUICE_BENCH_RIVALS_PYTHON_POOL_H_
#define SLUICE_BENCH_RIVALS_PYTHON_POOL_H_

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/subject.h"

namespace sluice::bench {

class PythonPool {
 public:
  // What is measured: a Python function of the pool `p`, the library `lib` and the seconds `s`,
  // which returns the figure. `each(call)` gives the median time of a call, in us.
  static constexpr const char* kAwake = "return each(lambda: p.apply(same, (1,)))";
  static constexpr const char* kAwakeExecutor = "return each(lambda: e.submit(same, 1).result())";
  static constexpr const char* kAsleep = "return each(lambda: p.apply(same, (1,)), 0.002)";
  static constexpr const char* kSubmit =
      "return rate(lambda n: [r.wait() for r in [p.apply_async(same, (i,)) for i in range(n)]])";
  static constexpr const char* kMap = "return rate(lambda n: p.map(same, range(n)))";
  static constexpr const char* kImap =
      "return rate(lambda n: sum(p.imap_unordered(same, range(n))))";
  static constexpr const char* kImapInOrder = "return rate(lambda n: sum(p.imap(same, range(n))))";
  static constexpr const char* kStartJoin = "return each(start_join)";
  static constexpr const char* kMebibyte = "return each(lambda: p.apply(same, (mebibyte,)))";
  static constexpr const char* kStart2 = "return each(lambda: fresh(2))";
  static constexpr const char* kStart8 = "return each(lambda: fresh(8))";

  [[nodiscard]] static bool is_there() {
    return std::system("python3 -c 'import multiprocessing' >/dev/null 2>&1") == 0;
  }

  static Variant variant(const std::string& name, const char* what) {
    return {name, [what] {
              return Roles{[what](Slice& slice) { slice.report(0, measure(slice.times(), what)); }};
            }};
  }

 private:
  static constexpr const char* kScript = R"(
import concurrent.futures, multiprocessing, os, sys, time
seconds = float(sys.argv[1])
def same(x): return x
clock = time.perf_counter
def each(call, pause=0):
    call()
    times, until = [], clock() + seconds
    while clock() < until or len(times) < 5:
        if pause: time.sleep(pause)
        begin = clock()
        call()
        times.append(clock() - begin)
    return sorted(times)[len(times) // 2] * 1e6
def rate(call):
    n = 1000
    while True:
        begin = clock()
        call(n)
        took = clock() - begin
        if took >= seconds / 2: return n / took * 1e-6
        n *= 2
def fresh(workers):
    with multiprocessing.Pool(workers) as pool: pool.apply(same, (1,))
def nothing(): pass
def start_join():
    child = multiprocessing.Process(target=nothing)
    child.start()
    child.join()
os.sched_setaffinity(0, range(os.cpu_count()))
p = multiprocessing.Pool(2)
e = concurrent.futures.ProcessPoolExecutor(2)
mebibyte = bytes(1 << 20)
def measured():
    WHAT
print(measured(), flush=True)
p.terminate()
p.join()
e.shutdown()
)";

  static double measure(SliceTimes times, const std::string& what) {
    std::string script = kScript;
    script.replace(script.find("WHAT"), 4, what);
    ::setenv("SLUICE_BENCH_SCRIPT", script.c_str(), 1);
    const double seconds = std::chrono::duration<double>(10 * times.measured).count();
    const std::string command =
        "exec python3 -c \"$SLUICE_BENCH_SCRIPT\" " + std::to_string(seconds);
    std::FILE* const stream = ::popen(command.c_str(), "r");
    if (stream == nullptr) throw std::runtime_error("no shell for python3");
    double figure = 0;
    const bool said = std::fscanf(stream, "%lf", &figure) == 1;
    if (::pclose(stream) != 0 || !said) throw std::runtime_error("python3 failed");
    return figure;
  }
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_PYTHON_POOL_H_
