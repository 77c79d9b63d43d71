// SPDX-License-Identifier: Apache-2.0
//
// The calls of docs/coming_from_python.md that need no process of their own, as they are written
// there. Compiled, never run.

#include <chrono>
#include <cstddef>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/ipc/array.h"
#include "sluice/ipc/connection.h"
#include "sluice/ipc/deque.h"
#include "sluice/ipc/fd_socket.h"
#include "sluice/ipc/joinable_queue.h"
#include "sluice/ipc/lifo_queue.h"
#include "sluice/ipc/pipe.h"
#include "sluice/ipc/priority_queue.h"
#include "sluice/ipc/queue.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/sealed_connection.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/shareable_list.h"
#include "sluice/ipc/shared.h"
#include "sluice/ipc/value.h"
#include "sluice/ipc/wait_any.h"
#include "sluice/lockfree/unbounded_queue.h"
#include "sluice/sync/barrier.h"
#include "sluice/sync/condition_variable.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/event.h"
#include "sluice/sync/latch.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/once.h"
#include "sluice/sync/owned_semaphore.h"
#include "sluice/sync/semaphore.h"
#include "sluice/sync/semaphore_guard.h"
#include "sluice/sync/shared_mutex.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

/// Takes what calls return.
template <class... T>
void use(T&&... /*results*/) {}

struct Gate {
  static constexpr std::string_view kTypeName = "sluice.tests.Gate";
  Mutex mutex;
  Semaphore places{3};
};

struct Box {
  Mutex mutex;
  ConditionVariable changed;
};

[[maybe_unused]] void connections() {
  auto [a, b] = Connection::pair();
  auto [rx, tx] = Pipe::create();
  std::vector<std::byte> bytes(4);
  int value = 0;
  use(a.send(1), a.recv<int>(), a.recv(value, 1s), a.send(bytes, 1, 2), a.recv(bytes));
  use(a.recv_at_most(3, bytes), a.recv_into(std::span(bytes).subspan(1)), a.skip());
  use(a.poll(), a.poll(1s), a.poll(Deadline::never()), a.descriptor(), a.fd(), a.closed());
  use(tx.send(1), rx.recv<int>(), b.reserve(8).status(), b.peek().status(), wait_any({a, rx}, 1s));
  a.close();
  use(Connection::create("ticks"), Connection::open("ticks"));
}

[[maybe_unused]] void listeners() {
  SealedListener listener("@acme.ticks");
  std::optional<SealedConnection> server = listener.accept(5s);
  use(server->credentials(), listener.address());
  listener.close();
  auto client = SealedConnection::connect("@acme.ticks", 5s);
  UniqueFd fd;
  use(client.send_fd(1), client.recv_fd(fd));
  auto [mine, childs] = FdSocket::pair();
  use(mine.send_fd(1), childs.recv_fd(fd));
}

[[maybe_unused]] void queues() {
  Queue<int> q(8);
  int x = 1;
  use(q.push(x), q.push(x, 1s), q.try_push(x), q.pop(), q.pop(x, 1s), q.try_pop(x));
  use(q.size(), q.empty(), q.full(), q.descriptor(), q.wait_handle());
  q.close();
  q.close(Remaining::dropped);
  q.detach();
  use(Queue<int>(), Queue<int>(8, {.ends_with_producers = true}));
  use(Queue<int>::open_or_create("q", 8), LifoQueue<int>(8), PriorityQueue<int>(8));
  Deque<int> d(8, {.overflow = Overflow::drop_oldest});
  use(d.push_back(x), d.push_front(x), d.pop_back(), d.pop_front(), d.try_pop_back(x));
  use(d.try_pop_front(x), d.capacity(), d.skip_front());
  d.rotate(2);
  UnboundedQueue<int> threads;
  use(threads.push(1), threads.pop());
}

[[maybe_unused]] void joinable_queues() {
  JoinableQueue<int> q(8);
  int x = 1;
  auto task = q.pop();
  use(q.push(x), q.try_push(x), q.try_pop(task), **task, q.pop(x));
  task->done();
  q.done();
  q.join();
  use(q.join(5s), q.size(), q.empty(), q.full(), q.unfinished(), q.leased());
}

[[maybe_unused]] void shared_data() {
  Value<int> v(0);
  v.store(1);
  use(v.load(), v.fetch_add(1), v.update([](int& i) { i += 1; }));
  Array<int> a(10);
  auto held = a.lock();
  use(a.span(), std::vector(a.begin(), a.end()), a.name(), a.size(), Array<char>(8).text());
  use(Shared<int>(), RawArray<int>(10), RawArray<std::byte>::create("name", 8));
  use(RawArray<std::byte>::open("name"), RawArray<std::byte>::remove("name"));
  ShareableList l({"a", 1, {}});
  use(l.count("a"), l.index("a"), l.format(0), l.fd(), l.name());
  use(Shared<Gate>::open_or_create("gate")->places.value());
  use(Shared<Gate>::create("gate", {.lifetime = Lifetime::until_removed}));
}

[[maybe_unused]] void locks() {
  Mutex m;
  m.lock();
  use(m.try_lock(), m.try_lock_for(1s), m.acquire(1s), m.is_owned(), m.report());
  m.unlock();
  m.lock([] {});
  use(RecursiveMutex().recursion_count());
  Semaphore s{1};
  s.acquire();
  use(s.try_acquire(), s.acquire(1s), s.value());
  s.release();
  s.release(2);
  const SemaphoreGuard hold(s);
  use(BoundedSemaphore(3), OwnedSemaphore<16>(3), SharedMutex<>(), Latch(3), Once());
}

[[maybe_unused]] void signals() {
  Event e;
  e.set();
  e.clear();
  e.wait();
  use(e.is_set(), e.wait_for(1s), e.wait(1s), AutoResetEvent());
  Box box;
  std::unique_lock hold(box.mutex);
  const auto predicate = [] { return true; };
  use(box.changed.wait(hold), box.changed.wait_for(hold, 1s), box.changed.wait(hold, predicate));
  use(box.changed.wait_for(hold, 1s, predicate));
  box.changed.notify_one();
  box.changed.notify(2);
  box.changed.notify_all();
  Barrier<> b{3};
  use(b.wait(), b.wait(1s), b.wait(1s, [] {}), b.reset(), b.broken(), b.n_waiting(), b.parties());
  use(b.join(), Barrier<>{3, {.timeout = 5s}}.parties());
  b.abort();
  b.leave();
}

}  // namespace
}  // namespace sluice::tests
