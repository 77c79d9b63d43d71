// SPDX-License-Identifier: Apache-2.0
//
// The calls of docs/coming_from_python.md that need processes, threads or pools, as they are
// written there. Compiled, never run.

#include <chrono>
#include <csignal>
#include <exception>
#include <utility>
#include <vector>

#include "sluice/ipc/wait_any.h"
#include "sluice/pool/exec.h"
#include "sluice/pool/executor.h"
#include "sluice/pool/exit.h"
#include "sluice/pool/future.h"
#include "sluice/pool/log.h"
#include "sluice/pool/log_record.h"
#include "sluice/pool/pool.h"
#include "sluice/pool/process.h"
#include "sluice/pool/start_options.h"
#include "sluice/pool/stdio.h"
#include "sluice/pool/this_process.h"
#include "sluice/pool/thread.h"
#include "sluice/pool/thread_pool.h"
#include "sluice/pool/timer.h"
#include "sluice/pool/uncaught.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

/// Takes what calls return.
template <class... T>
void use(T&&... /*results*/) {}

int add(int a, int b) { return a + b; }
int negative(int a) { return -a; }
void nothing() {}
void take(int /*number*/) {}

[[maybe_unused]] void processes() {
  Process p(take, 1);
  Process later({.start = Start::later}, take, 1);
  later.set_name("feed");
  later.set_daemon(true);
  later.start();
  use(Process("feed", nothing), Process({.daemon = true}, nothing));
  use(p.name(), p.daemon(), p.join(5s), p.alive(), p.pid(), p.exit_code(), p.sentinel());
  use(wait_any({p}, 1s), active_children());
  p.terminate();
  p.kill();
  p.send_signal(SIGUSR1);
  p.close();
  at_exit([] {}, 1);
  if (const auto* parent = parent_process()) {
    use(parent->name(), parent->pid(), parent->alive(), parent->join());
  }
  Program sort({"sort"}, {.output = Stdio::captured()});
  use(sort.communicate("b\na\n"), this_process::name(), this_process::pid());
  use(this_process::daemon(), this_process::cpu_count(), this_process::usable_cpu_count());
  log_to_stderr({.level = LogLevel::info});
  get_logger().info("at work");
}

[[maybe_unused]] void threads() {
  Thread t(take, 1);
  use(Thread({.start = Start::later}, take, 1), Thread({.stack_size = 1 << 20}, nothing));
  use(t.name(), t.daemon(), t.id(), t.alive(), t.join(1s), t.exit_code(), active_threads().size());
  use(this_thread::name(), this_thread::daemon(), this_thread::is_main(), this_thread::id());
  Timer timer(1s, nothing);
  use(Timer::every(1s, nothing), timer.cancel(), timer.pending(), timer.join());
  timer.restart();
  set_uncaught_hook(nullptr);
}

[[maybe_unused]] void process_pools() {
  const std::vector<int> items{1, 2};
  const std::vector<std::pair<int, int>> pairs;
  Pool pool({.workers = 4, .max_tasks_per_worker = 100, .initializer = [] {}});
  Pool::prepare();
  use(Pool(4).apply(add, 1, 2));
  pool.submit(add, 1, 2).on_success([](int) {}).on_error([](const std::exception_ptr&) {});
  use(pool.map(negative, items), pool.map({.chunk = 16}, negative, items));
  use(pool.map_async(negative, items), pool.starmap(add, pairs), pool.starmap_async(add, pairs));
  use(pool.map(add, items, items), pool.imap_unordered(negative, items).next());
  auto stream = pool.imap(negative, items);
  use(stream.next(), stream.next(1s));
  pool.close();
  use(pool.join(), pool.join(5s), pool.counters());
  pool.terminate();
  pool.resize(8);
  for (const int result : map(pool, {.deadline = 5s}, add, items, items)) use(result);
}

[[maybe_unused]] void thread_pools() {
  const std::vector<int> items{1, 2};
  ThreadPool pool(4, 1000);
  use(ThreadPool({.max_threads = 4, .name = "io", .initializer = nothing}).threads());
  use(pool.submit(negative, 1).get(), pool.try_submit(negative, 1));
  use(pool.submit_before(1s, negative, 1));
  for (const int result : map(pool, negative, items)) use(result);
  for (const int result : map(pool, add, items, items)) use(result);
  for (const int result : map(pool, {.ahead = 100}, negative, items)) use(result);
  pool.shutdown({.cancel_queued = true});
  pool.shutdown();
}

[[maybe_unused]] void futures() {
  Promise<int> promise;
  use(promise.set_running());
  promise.set_value(1);
  promise.set_exception({});
  const Future<int> f = promise.future();
  use(f.get(), f.get(1s), f.take(), f.wait(), f.wait(1s), f.ready(), f.successful(), f.exception());
  use(f.done(), f.running(), f.cancelled(), f.cancel(), f.cancel(Cancel::running_too));
  use(f.on_done([] {}), f.then([](int n) { return n; }));
  std::vector<Future<int>> fs{f};
  for (const Future<int>& task : as_completed(fs, 5s)) use(task);
  const auto [done, not_done] = wait(fs, Wait::all_completed, 5s);
  use(done, not_done);
}

}  // namespace
}  // namespace sluice::tests
