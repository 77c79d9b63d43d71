// SPDX-License-Identifier: Apache-2.0
//
// One text for processes and threads: what Process and Thread have in common. Rows PR3, PR7, PR9,
// PR15, PR25, PR26, PR29.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/ipc/shared.h"
#include "sluice/ipc/value.h"
#include "sluice/pool/exit.h"
#include "sluice/pool/process.h"
#include "sluice/pool/start_options.h"
#include "sluice/pool/thread.h"
#include "sluice/sync/event.h"
#include "sluice/tests/pool/whole_program.h"
#include "sluice/tests/support/calls.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::MatchesRegex;

template <class Worker>
class WorkerFace : public testing::Test {};

struct Names {
  template <class Worker>
  static std::string GetName(int) {
    return std::is_same_v<Worker, Process> ? "Process" : "Thread";
  }
};
using Workers = testing::Types<Process, Thread>;
TYPED_TEST_SUITE(WorkerFace, Workers, Names);

template <class Worker>
std::optional<int> code_of(Worker& worker) {
  EXPECT_TRUE(worker.join(20s));
  return worker.exit_code();
}

TYPED_TEST(WorkerFace, PR3_TakesArgumentsOfAnyType) {
  const auto check = [](int number, const std::string& text, std::unique_ptr<int> owned) {
    sluice::exit(number == 7 && text == "seven" && *owned == 7 ? 3 : 1);
  };
  TypeParam plain(check, 7, "seven", std::make_unique<int>(7));
  TypeParam named("named", check, 7, "seven", std::make_unique<int>(7));
  TypeParam chosen({.name = "chosen", .daemon = true}, check, 7, "seven", std::make_unique<int>(7));
  EXPECT_EQ(code_of(plain), 3);
  EXPECT_EQ(code_of(named), 3);
  EXPECT_EQ(code_of(chosen), 3);
  EXPECT_EQ(named.name(), "named");
  EXPECT_FALSE(named.daemon());
  EXPECT_TRUE(chosen.daemon());
}

TYPED_TEST(WorkerFace, PR7_BeforeDuringAndAfter) {
  const Shared<Event> end;
  TypeParam worker({.name = "worker", .start = Start::later}, [&] { end->wait(); });
  EXPECT_FALSE(worker.alive());
  EXPECT_EQ(worker.exit_code(), std::nullopt);
  worker.start();
  EXPECT_TRUE(worker.alive());
  EXPECT_EQ(worker.exit_code(), std::nullopt);
  EXPECT_LT(time_of([&] {
              EXPECT_FALSE(worker.join(0s));
              EXPECT_FALSE(worker.join(-1s));
            }),
            1s);
  EXPECT_GE(time_of([&] { EXPECT_FALSE(worker.join(20ms)); }), 20ms);
  end->set();
  EXPECT_EQ(code_of(worker), 0);
  EXPECT_FALSE(worker.alive());
  EXPECT_TRUE(worker.join(0s)) << "again, at once";
}

TYPED_TEST(WorkerFace, PR26_EndsAsItSays) {
  TypeParam returns([] { return 7; });
  TypeParam exits([] { sluice::exit(256 + 8); });
  TypeParam tells([] { sluice::exit("told on stderr by worker_test"); });
  TypeParam throws([] { throw std::runtime_error("thrown by worker_test"); });
  EXPECT_EQ(code_of(returns), 0);
  EXPECT_EQ(code_of(exits), 8);
  EXPECT_EQ(code_of(tells), 1);
  EXPECT_EQ(code_of(throws), 1);
}

TYPED_TEST(WorkerFace, PR25_TellsOfAnUncaughtException) {
  const Ran ran = run_program([] {
    TypeParam worker("thrower", [] { throw std::out_of_range("marker"); });
    worker.join();
    return *worker.exit_code();
  });
  EXPECT_THAT(ran.out, MatchesRegex("thrower \\(pid [0-9]+\\).*std::out_of_range: marker\n"));
  EXPECT_EQ(ran.code, 1);
}

TYPED_TEST(WorkerFace, PR17_ItsCapturesAreGoneAfterItsEnd) {
  const auto shared = std::make_shared<int>(5);
  TypeParam worker([shared] { sluice::exit(*shared); });
  EXPECT_EQ(code_of(worker), 5);
  EXPECT_EQ(shared.use_count(), 1);
}

TYPED_TEST(WorkerFace, PR29_MisuseIsTold) {
  TypeParam worker({.start = Start::later}, [] {});
  EXPECT_THROW(worker.join(), std::logic_error);
  worker.set_name("renamed");
  worker.set_daemon(false);
  worker.start();
  EXPECT_THROW(worker.start(), std::logic_error);
  EXPECT_THROW(worker.set_daemon(true), std::logic_error);
  EXPECT_EQ(code_of(worker), 0);
  TypeParam moved = std::move(worker);
  EXPECT_THROW(worker.join(), std::logic_error);
  EXPECT_EQ(moved.exit_code(), 0);
}

TYPED_TEST(WorkerFace, PR15_CloseOfARunningOneIsAnErrorAndChangesNothing) {
  const Shared<Event> end;
  TypeParam worker([&] { end->wait(); });
  EXPECT_THROW(worker.close(), std::logic_error);
  EXPECT_TRUE(worker.alive());
  end->set();
  EXPECT_EQ(code_of(worker), 0);
  worker.close();
  worker.close();
  EXPECT_THROW(static_cast<void>(worker.alive()), std::logic_error);
  EXPECT_THROW(worker.join(), std::logic_error);
  EXPECT_THROW(static_cast<void>(worker.exit_code()), std::logic_error);
  std::ostringstream text;
  text << worker;
  EXPECT_THAT(text.str(), HasSubstr("closed"));
}

TYPED_TEST(WorkerFace, ManyWorkOnOneValue) {
  Value<int> sum(0);
  std::vector<TypeParam> workers;
  for (int i = 1; i <= 20; ++i) {
    workers.emplace_back([](Value<int>& to, int n) { to.fetch_add(n); }, std::ref(sum), i);
  }
  for (TypeParam& worker : workers) EXPECT_EQ(code_of(worker), 0);
  EXPECT_EQ(sum.load(), 210);
}

template <class Worker>
class Adder : public Worker {
 public:
  explicit Adder(Value<int>& sum) : sum_(sum) {}

 private:
  void run() override { sum_.fetch_add(5); }
  Value<int>& sum_;
};

TYPED_TEST(WorkerFace, ADerivedClassRunsItsOwn) {
  Value<int> sum(1);
  Adder<TypeParam> adder(sum);
  EXPECT_THAT(adder.name(), MatchesRegex("Adder-[0-9:]+"));
  adder.start();
  EXPECT_EQ(code_of(adder), 0);
  EXPECT_EQ(sum.load(), 6);
}

}  // namespace
}  // namespace sluice::tests
