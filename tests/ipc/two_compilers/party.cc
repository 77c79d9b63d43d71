// SPDX-License-Identifier: Apache-2.0
//
// One of two programs that meet in each kind of object, to be built by different compilers. Run by
// meet.sh:
//
//   party serve      makes the objects, says "ready", and waits for its visitor
//   party visit      opens them and uses them; dies with the lock in its hands
//
// Exit code 0 if each found what the other had put there.

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>

#include "sluice/ipc/pipe.h"
#include "sluice/ipc/shared.h"
#include "sluice/sync/condition_variable.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"

namespace {

using sluice::Status;

#if defined(__clang__)
constexpr const char* kCompiler = "clang";
#else
constexpr const char* kCompiler = "gcc";
#endif

/// Members of many sizes, for each compiler to lay out.
struct Mixed {
  static constexpr std::string_view kTypeName = "test.Mixed/1";
  std::int8_t a = 1;
  double b = 2;
  std::int16_t c = 3;
  std::array<char, 3> d = {'x', 'y', 'z'};
  sluice::Mutex mutex;
  std::int32_t visits = 0;
  sluice::ConditionVariable changed;
  bool done = false;
  static constexpr auto kMembers =
      std::tuple(&Mixed::a, &Mixed::b, &Mixed::c, &Mixed::d, &Mixed::mutex, &Mixed::visits,
                 &Mixed::changed, &Mixed::done);

  [[nodiscard]] bool is_right() const { return a == 1 && b == 2 && c == 3 && d[2] == 'z'; }
};

struct Tick {
  static constexpr std::string_view kTypeName = "test.Tick";
  std::int64_t price;
  std::int16_t size;
  float weight;
};

void expect(bool truth, const char* what) {
  if (truth) return;
  std::cerr << kCompiler << ": wrong: " << what << '\n';
  std::exit(EXIT_FAILURE);
}

void serve() {
  auto mixed = sluice::Shared<Mixed>::create("mixed");
  sluice::Sender tx = sluice::Sender::create("there");
  sluice::Receiver rx = sluice::Receiver::create("back");
  expect(tx.send("hello") == Status::ok, "send text");
  expect(tx.send(Tick{.price = 5, .size = 6, .weight = 0.5F}) == Status::ok, "send a value");
  std::cout << "ready" << std::endl;
  std::string text;
  expect(rx.recv(text) == Status::ok && text == "HELLO", "the answer");
  const auto tick = rx.recv<Tick>();
  expect(tick && tick->price == 10 && tick->size == 12 && tick->weight == 1, "the value in return");
  std::unique_lock hold(mixed->mutex, std::defer_lock);
  mixed->mutex.lock([&] { mixed->visits += 1000; });  // in case that its death is known already
  hold = std::unique_lock(mixed->mutex, std::adopt_lock);
  // The visitor notifies, locks again, and dies as the owner.
  while (mixed->visits < 1000) {
    const Status s = mixed->changed.wait_for(hold, sluice::Deadline(std::chrono::seconds(20)));
    expect(s == Status::ok || s == Status::owner_died, "being told of the visit");
    if (s != Status::owner_died) continue;
    mixed->visits += 1000;
    mixed->mutex.mark_consistent();
  }
  expect(mixed->visits == 1007 && mixed->done && mixed->is_right(), "what the visitor left");
  expect(rx.recv(text) == Status::peer_died, "the visitor's death");
}

void visit() {
  auto mixed = sluice::Shared<Mixed>::open("mixed");
  sluice::Receiver rx = sluice::Receiver::open("there");
  sluice::Sender tx = sluice::Sender::open("back");
  expect(mixed->is_right(), "the struct");
  std::string text;
  expect(rx.recv(text) == Status::ok && text == "hello", "the text");
  const auto tick = rx.recv<Tick>();
  expect(tick && tick->price == 5 && tick->size == 6 && tick->weight == 0.5F, "the value");
  expect(tx.send("HELLO") == Status::ok, "send text");
  expect(tx.send(Tick{.price = 10, .size = 12, .weight = 1}) == Status::ok, "send a value");
  {
    const std::scoped_lock hold(mixed->mutex);
    mixed->visits = 7;
    mixed->done = true;
    mixed->changed.notify_all();
  }
  mixed->mutex.lock();
  std::cout << kCompiler << ": visited" << std::endl;
  raise(SIGKILL);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string role = argc > 1 ? argv[1] : "";
  try {
    if (role == "serve") serve();
    if (role == "visit") visit();
  } catch (const std::exception& e) {
    std::cerr << kCompiler << ": " << e.what() << '\n';
    return EXIT_FAILURE;
  }
  std::cout << kCompiler << ": served" << std::endl;
  return EXIT_SUCCESS;
}
