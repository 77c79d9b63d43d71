// SPDX-License-Identifier: Apache-2.0
//
// Four queues that give back in four orders what another process put into them: first in first out,
// last in first out, the smallest first, and from either end.

#include <iostream>
#include <string>
#include <utility>

#include "sluice/ipc/deque.h"
#include "sluice/ipc/joinable_queue.h"
#include "sluice/ipc/lifo_queue.h"
#include "sluice/ipc/priority_queue.h"
#include "sluice/pool/process.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"

namespace {

void must(sluice::Status status) {
  if (status != sluice::Status::ok) throw sluice::Error(status, {.tried = "push an item"});
}

}  // namespace

int main() {
  sluice::JoinableQueue<int> fifo(5);
  sluice::LifoQueue<int> lifo;
  sluice::PriorityQueue<std::pair<int, std::string>> priority;
  sluice::Deque<int> deque;

  sluice::Process producer("producer", [&] {
    for (const int item : {11, 22, 33}) must(fifo.push(item));
    for (const int item : {123, 456}) must(lifo.push(item));
    must(priority.push({3, "alex3"}));
    must(priority.push({1, "alex1"}));
    must(priority.push({2, "alex2"}));
    must(deque.push_back(123));
    must(deque.push_back(333));
    must(deque.push_front(456));
  });
  producer.join();

  for (int i = 0; i < 3; ++i) {
    auto task = fifo.pop();
    std::cout << "first in: " << **task << '\n';
    task->done();
  }
  fifo.join();
  for (int i = 0; i < 2; ++i) std::cout << "last in: " << *lifo.pop() << '\n';
  for (int i = 0; i < 3; ++i) {
    const auto item = priority.pop();
    std::cout << "smallest: " << item->first << ' ' << item->second << '\n';
  }
  std::cout << "back: " << *deque.pop_back() << '\n';
  std::cout << "front: " << *deque.pop_front() << '\n';
  std::cout << deque << '\n';
}
