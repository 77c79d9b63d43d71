// SPDX-License-Identifier: Apache-2.0
//
// Future and Promise: rows FU2 to FU9 and AS3, and what an executor builds on: callbacks (the order
// of PO5), and sources whose results their waiters fetch.

#include "sluice/pool/future.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "sluice/pool/future_state.h"
#include "sluice/pool/result_source.h"
#include "sluice/pool/uncaught.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/event.h"
#include "sluice/tests/pool/watched.h"
#include "sluice/tests/support/calls.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using internal::Done;
using internal::FutureState;
using internal::ResultSource;
using testing::ElementsAre;
using testing::HasSubstr;

class FutureTest : public Watched {};

std::exception_ptr an_error(const std::string& text) {
  return std::make_exception_ptr(std::runtime_error(text));
}

std::string text_of(const std::exception_ptr& error) { return internal::describe(error); }

template <class T>
std::string printed(const T& object) {
  std::ostringstream out;
  out << object;
  return out.str();
}

/// A future in each of the six states of the tables.
struct SixStates {
  Promise<int> pending, running, cancelled, noticed, failed, finished;
  SixStates() {
    running.set_running();
    cancelled.future().cancel();
    noticed.future().cancel();
    noticed.set_running();
    failed.set_exception(an_error("no"));
    finished.set_value(42);
  }
  template <class Ask>
  std::vector<bool> ask(Ask ask) {
    std::vector<bool> answers;
    for (Promise<int>* p : {&pending, &running, &cancelled, &noticed, &failed, &finished}) {
      answers.push_back(std::invoke(ask, p->future()));
    }
    return answers;
  }
};

/// What reached the hook for exceptions that nobody can catch, while this object lives.
class Reported {
 public:
  Reported() { before_ = set_uncaught_hook(&keep); }
  ~Reported() {
    set_uncaught_hook(before_);
    list().clear();
  }
  Reported(const Reported&) = delete;
  Reported& operator=(const Reported&) = delete;
  static std::vector<std::string>& list() {
    static std::vector<std::string> texts;
    return texts;
  }

 private:
  static void keep(std::string_view where, const std::exception_ptr& what) {
    list().push_back(std::string(where) + ": " + text_of(what));
  }
  UncaughtHook before_;
};

TEST_F(FutureTest, GivesTheValueAgainAndAgain) {  // AS3
  Promise<std::string> promise;
  const Future<std::string> future = promise.future();
  EXPECT_FALSE(future.wait(10ms));
  EXPECT_EQ(error_of([&] { return future.get(10ms); }).code(), Status::timeout);
  EXPECT_EQ(error_of([&] { return future.get(-1s); }).code(), Status::timeout);
  promise.set_value(3, 'x');
  EXPECT_EQ(future.get(), "xxx");
  EXPECT_EQ(future.get(0s), "xxx");
  EXPECT_EQ(future.take(), "xxx");
  EXPECT_THROW(future.get(), std::logic_error);
  EXPECT_THROW(future.take(), std::logic_error);
}

TEST_F(FutureTest, ThrowsTheSameErrorAgainAndAgain) {  // AS3
  Promise<int> promise;
  const Future<int> future = promise.future();
  promise.set_exception(an_error("no"));
  for (int i = 0; i < 2; ++i) EXPECT_THROW(future.get(), std::runtime_error);
  EXPECT_THROW(future.take(), std::runtime_error);
  EXPECT_EQ(text_of(future.exception()), "std::runtime_error: no");
  EXPECT_FALSE(future.successful());
}

TEST_F(FutureTest, CarriesWhatCanOnlyBeMovedAndNothing) {
  Promise<std::unique_ptr<int>> pointer;
  pointer.set_value(std::make_unique<int>(3));
  EXPECT_EQ(*pointer.future().take(), 3);
  Promise<void> nothing;
  EXPECT_THROW(static_cast<void>(nothing.future().successful()), std::logic_error);
  nothing.set_value();
  nothing.future().get();
  nothing.future().take();
  EXPECT_TRUE(nothing.future().successful());
}

TEST_F(FutureTest, OfNoTask) {
  const Future<int> none;
  EXPECT_FALSE(none.valid());
  EXPECT_THROW(none.get(), std::future_error);
  EXPECT_THROW(none.on_done([] {}), std::future_error);
  EXPECT_EQ(printed(none), "Future: of no task");
}

TEST_F(FutureTest, ABrokenPromiseIsAnOutcome) {
  Future<int> future;
  {
    const Promise<int> promise;
    future = promise.future();
  }
  EXPECT_THROW(future.get(), std::future_error);
}

TEST_F(FutureTest, CallbacksThatThrowAreReportedAndTheOthersRun) {  // FU2
  const Reported reported;
  Promise<int> promise;
  std::vector<int> order;
  promise.future().on_done([&] { order.push_back(1); });
  promise.future().on_done([&] { throw std::runtime_error("second"); });
  promise.future().on_success([&](int value) { order.push_back(value); });
  EXPECT_NO_THROW(promise.set_value(3));
  EXPECT_THAT(order, ElementsAre(1, 3));
  EXPECT_THAT(Reported::list(), ElementsAre(HasSubstr("std::runtime_error: second")));
}

TEST_F(FutureTest, CallbacksAddedLaterRunAtOnceHere) {  // FU3
  const Reported reported;
  SixStates states;
  std::vector<std::string> seen;
  for (const auto& f :
       {states.finished.future(), states.failed.future(), states.cancelled.future()}) {
    std::thread::id ran_in;
    f.on_done([&](const Future<int>& done) {
      ran_in = std::this_thread::get_id();
      seen.push_back(printed(done));
    });
    EXPECT_EQ(ran_in, std::this_thread::get_id());
    EXPECT_NO_THROW(f.on_done([] { throw std::runtime_error("late"); }));
  }
  EXPECT_THAT(seen,
              ElementsAre("Future: finished, returned int",
                          "Future: failed, threw std::runtime_error: no", "Future: cancelled"));
  EXPECT_EQ(Reported::list().size(), 3);
}

TEST_F(FutureTest, PrintsItself) {  // FU4
  SixStates states;
  EXPECT_EQ(printed(states.pending.future()), "Future: pending");
  EXPECT_EQ(printed(states.running.future()), "Future: running");
  EXPECT_EQ(printed(states.cancelled.future()), "Future: cancelled");
  EXPECT_EQ(printed(states.failed.future()), "Future: failed, threw std::runtime_error: no");
  EXPECT_EQ(printed(states.finished.future()), "Future: finished, returned int");
}

TEST_F(FutureTest, CancelTable) {  // FU5 (its race: thread_pool_test)
  SixStates states;
  const auto cancel = [](const Future<int>& f) { return f.cancel(); };
  EXPECT_THAT(states.ask(cancel), ElementsAre(true, false, true, true, false, false));
  EXPECT_TRUE(states.pending.future().cancelled());
  EXPECT_FALSE(states.pending.set_running());
  EXPECT_TRUE(states.running.future().running());
  EXPECT_EQ(states.finished.future().get(), 42);
}

TEST_F(FutureTest, StateTables) {  // FU6
  SixStates states;
  EXPECT_THAT(states.ask(&Future<int>::cancelled),
              ElementsAre(false, false, true, true, false, false));
  EXPECT_THAT(states.ask(&Future<int>::done), ElementsAre(false, false, true, true, true, true));
  EXPECT_THAT(states.ask(&Future<int>::ready), ElementsAre(false, false, true, true, true, true));
  EXPECT_THAT(states.ask(&Future<int>::running),
              ElementsAre(false, true, false, false, false, false));
}

TEST_F(FutureTest, ResultAndExceptionWithTimeOut) {  // FU7
  SixStates states;
  for (const auto& f : {states.pending.future(), states.running.future()}) {
    EXPECT_EQ(error_of([&] { return f.get(0s); }).code(), Status::timeout);
    EXPECT_EQ(error_of([&] { return f.exception(0s); }).code(), Status::timeout);
  }
  for (const auto& f : {states.cancelled.future(), states.noticed.future()}) {
    EXPECT_THROW(f.get(0s), CancelledError);
    EXPECT_THROW(static_cast<void>(f.exception(0s)), CancelledError);
  }
  EXPECT_THROW(states.failed.future().get(0s), std::runtime_error);
  EXPECT_EQ(text_of(states.failed.future().exception(0s)), "std::runtime_error: no");
  EXPECT_EQ(states.finished.future().get(0s), 42);
  EXPECT_EQ(states.finished.future().exception(0s), nullptr);
}

TEST_F(FutureTest, WaitersWake) {  // FU8
  const std::map<std::string, std::function<void(Promise<int>&)>> ends = {
      {"value", [](Promise<int>& p) { p.set_value(42); }},
      {"exception", [](Promise<int>& p) { p.set_exception(an_error("no")); }},
      {"cancelled", [](Promise<int>& p) { p.future().cancel(); }}};
  for (const auto& [how, end] : ends) {
    Promise<int> promise;
    std::string outcome;
    Deadline::TimePoint woken;
    std::jthread waiter([&, future = promise.future()] {
      try {
        outcome = std::to_string(future.get());
      } catch (const CancelledError&) {
        outcome = "cancelled";
      } catch (const std::runtime_error&) {
        outcome = "exception";
      }
      woken = Deadline::Clock::now();
    });
    std::this_thread::sleep_for(100ms);
    const auto set = Deadline::Clock::now();
    end(promise);
    waiter.join();
    EXPECT_EQ(outcome, how == "value" ? "42" : how);
    EXPECT_LT(woken - set, 100ms) << how;
  }
}

TEST_F(FutureTest, ASecondOutcomeIsAnError) {  // FU9
  SixStates states;
  for (Promise<int>* p : {&states.finished, &states.failed, &states.cancelled, &states.noticed}) {
    EXPECT_THROW(p->set_value(1), std::logic_error);
    EXPECT_THROW(p->set_exception(an_error("1")), std::logic_error);
  }
  EXPECT_THROW(states.running.set_running(), std::logic_error);
  EXPECT_EQ(states.finished.future().get(), 42);
  EXPECT_EQ(text_of(states.failed.future().exception()), "std::runtime_error: no");
}

TEST_F(FutureTest, OneOfSuccessAndErrorIsCalled) {  // PO5, PO25
  SixStates states;
  std::vector<std::string> seen;
  for (const auto& f :
       {states.finished.future(), states.failed.future(), states.cancelled.future()}) {
    f.on_success([&](int value) { seen.push_back(std::to_string(value)); });
    f.on_error([&](const std::exception_ptr& error) { seen.push_back(text_of(error)); });
  }
  EXPECT_THAT(seen, ElementsAre("42", "std::runtime_error: no",
                                "sluice::CancelledError: the task was cancelled"));
}

TEST_F(FutureTest, ThenGoesOnWithTheValueOrTheError) {
  Promise<int> promise;
  const Future<std::string> text =
      promise.future().then([](int n) { return n / 2.0; }).then([](double x) {
        return std::to_string(x).substr(0, 3);
      });
  Promise<int> failing;
  int calls = 0;
  const Future<void> not_called = failing.future().then([&](int) { ++calls; });
  Promise<int> throwing;
  const Future<int> thrown =
      throwing.future().then([](int n) -> int { throw std::out_of_range(std::to_string(n)); });
  promise.set_value(3);
  failing.set_exception(an_error("no"));
  throwing.set_value(7);
  EXPECT_EQ(text.get(), "1.5");
  EXPECT_THROW(not_called.get(), std::runtime_error);
  EXPECT_THROW(thrown.get(), std::out_of_range);
  EXPECT_EQ(calls, 0);
}

TEST_F(FutureTest, ThenOfACancelledOne) {
  Promise<int> cancelled;
  const Future<int> after = cancelled.future().then([](int n) { return n; });
  cancelled.future().cancel();
  EXPECT_THROW(after.get(), CancelledError);
  Promise<int> fine;
  bool called = false;
  const Future<void> given_up = fine.future().then([&](int) { called = true; });
  EXPECT_TRUE(given_up.cancel());
  fine.set_value(1);
  EXPECT_FALSE(called);
  EXPECT_EQ(fine.future().get(), 1);
}

TEST_F(FutureTest, CanBeKeptInSets) {
  const Promise<int> one;
  const Promise<int> other;
  const std::unordered_set<Future<int>> set = {one.future(), one.future(), other.future()};
  EXPECT_EQ(set.size(), 2);
}

TEST_F(FutureTest, CallbacksHaveAThreadOfTheirOwnAndRunBeforeTheResultIsOut) {  // PO5
  const auto source = std::make_shared<ResultSource>();
  const auto state = std::make_shared<FutureState<int>>(source);
  const Future<int> future(state);
  Event go_on;
  std::thread::id ran_in;
  bool inside_is_done = false;
  int inside_get = 0;
  future.on_done([&](const Future<int>& done) {
    ran_in = std::this_thread::get_id();
    inside_is_done = done.done();
    inside_get = done.get();  // no deadlock
    go_on.wait();
  });
  state->set_value(42);
  EXPECT_FALSE(future.done());
  EXPECT_FALSE(future.wait(20ms));
  go_on.set();
  EXPECT_EQ(future.get(), 42);
  EXPECT_NE(ran_in, std::this_thread::get_id());
  EXPECT_TRUE(inside_is_done);
  EXPECT_EQ(inside_get, 42);
}

TEST_F(FutureTest, ASlowCallbackHoldsUpLaterOnesButNoOtherResult) {  // PO5
  const auto source = std::make_shared<ResultSource>();
  const auto make = [&] { return std::make_shared<FutureState<int>>(source); };
  const auto slow = make();
  const auto later = make();
  const auto quiet = make();
  Event go_on;
  std::vector<int> order;
  Future<int>(later).on_done([&] { order.push_back(2); });
  Future<int>(slow).on_done([&] {
    go_on.wait();
    order.push_back(1);
  });
  slow->set_value(1);
  later->set_value(2);
  quiet->set_value(3);
  EXPECT_EQ(Future<int>(quiet).get(), 3);
  EXPECT_FALSE(Future<int>(later).wait(20ms));
  go_on.set();
  Future<int>(later).wait();
  EXPECT_THAT(order, ElementsAre(1, 2));  // as the tasks were done
}

TEST_F(FutureTest, CallbacksOnAnExecutorOfTheUsersChoice) {
  std::vector<std::function<void()>> jobs;
  const auto source =
      std::make_shared<ResultSource>([&](std::function<void()> job) { jobs.push_back(job); });
  std::vector<int> order;
  for (int i = 0; i < 3; ++i) {
    const auto state = std::make_shared<FutureState<int>>(source);
    Future<int>(state).on_success([&](int n) { order.push_back(n); });
    state->set_value(i);
    EXPECT_FALSE(Future<int>(state).done());
  }
  ASSERT_EQ(jobs.size(), 1);  // one at a time
  jobs[0]();
  EXPECT_THAT(order, ElementsAre(0, 1, 2));
}

TEST_F(FutureTest, AnExecutorThatThrowsLosesNoCallback) {
  const Reported reported;
  const auto source = std::make_shared<ResultSource>(
      [](const std::function<void()>&) { throw std::runtime_error("shut down"); });
  const auto state = std::make_shared<FutureState<int>>(source);
  int seen = 0;
  Future<int>(state).on_success([&](int n) { seen = n; });
  state->set_value(5);
  EXPECT_EQ(Future<int>(state).get(), 5);
  EXPECT_EQ(seen, 5);
  EXPECT_THAT(Reported::list(), ElementsAre(HasSubstr("shut down")));
}

/// Results that lie there until somebody fetches them.
class Shelf : public ResultSource {
 public:
  Future<int> add(std::uint64_t task, const std::shared_ptr<Shelf>& self) {
    auto state = std::make_shared<FutureState<int>>(self, task);
    const std::lock_guard lock(mutex_);
    tasks_[task] = state;
    return Future<int>(std::move(state));
  }
  void lay_out(std::uint64_t task) {
    {
      const std::lock_guard lock(mutex_);
      there_.push_back(task);
    }
    changed_.notify_all();
  }

  bool fetch_until(Done done, Deadline deadline) override {
    std::unique_lock lock(mutex_);
    for (bool in_time = true;; in_time = pause(lock, deadline)) {
      while (!there_.empty()) {
        const std::uint64_t task = there_.back();
        there_.pop_back();
        const auto state = tasks_[task].lock();
        lock.unlock();
        if (state->set_running()) state->set_value(static_cast<int>(task));
        changed_.notify_all();
        lock.lock();
      }
      if (done()) return true;
      if (!in_time) return false;
    }
  }
  void fetch_in_background() override {
    const std::lock_guard lock(mutex_);
    if (background_.joinable()) return;
    background_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) fetch_until([&] { return stop.stop_requested(); }, 5ms);
    });
  }
  void wake_fetchers() override {
    {
      const std::lock_guard lock(mutex_);
    }
    changed_.notify_all();
  }
  bool cancel(std::uint64_t task, bool running_too) override {
    asked_to_kill_ = running_too;
    std::unique_lock lock(mutex_);
    const auto state = tasks_[task].lock();
    lock.unlock();
    return state->set_cancelled();
  }
  bool is_running(std::uint64_t task) override { return task == 7; }

  /// Before the end of the last user of this object, who may be that thread.
  void stop_background() { background_ = {}; }

  bool asked_to_kill_ = false;

 private:
  bool pause(std::unique_lock<std::mutex>& lock, Deadline deadline) {
    if (deadline.is_never()) return changed_.wait(lock), true;
    return changed_.wait_until(lock, deadline.time()) == std::cv_status::no_timeout;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, std::weak_ptr<FutureState<int>>> tasks_;
  std::vector<std::uint64_t> there_;
  std::jthread background_;
};

TEST_F(FutureTest, WhoWaitsFetches) {
  const auto shelf = std::make_shared<Shelf>();
  const Future<int> one = shelf->add(1, shelf);
  const Future<int> two = shelf->add(2, shelf);
  EXPECT_EQ(error_of([&] { return one.get(10ms); }).code(), Status::timeout);
  shelf->lay_out(2);
  EXPECT_EQ(error_of([&] { return one.get(10ms); }).code(), Status::timeout);
  shelf->lay_out(1);
  EXPECT_TRUE(one.done());  // looking fetches
  EXPECT_EQ(two.get(Deadline::now()), 2);
  EXPECT_TRUE(shelf->add(7, shelf).running());
  const Future<int> cancelled = shelf->add(3, shelf);
  EXPECT_TRUE(cancelled.cancel(Cancel::running_too));
  EXPECT_TRUE(shelf->asked_to_kill_);
  EXPECT_THROW(cancelled.get(), CancelledError);
  EXPECT_FALSE(two.cancel());
}

TEST_F(FutureTest, OneWaiterFetchesForAll) {
  const auto shelf = std::make_shared<Shelf>();
  const Future<int> one = shelf->add(1, shelf);
  const Future<int> two = shelf->add(2, shelf);
  int got = 0;
  std::jthread other([&] { got = one.get(); });
  shelf->lay_out(1);
  shelf->lay_out(2);
  EXPECT_EQ(two.get(), 2);
  other.join();
  EXPECT_EQ(got, 1);
}

TEST_F(FutureTest, CallbacksNeedNoWaiter) {
  const auto shelf = std::make_shared<Shelf>();
  const Future<int> one = shelf->add(1, shelf);
  Event called;
  bool ran = false;
  const Future<int> more = one.then([](int n) { return n + 1; });
  one.on_done([&] {
    ran = true;
    called.set();
  });
  shelf->lay_out(1);
  called.wait();
  EXPECT_EQ(more.get(), 2);
  EXPECT_EQ(one.get(), 1);  // wakes although the callback, and no result, made it ready
  EXPECT_TRUE(ran);
  shelf->stop_background();
}

TEST_F(FutureTest, WhoFetchesIsWokenByTheEndOfACallback) {
  const auto shelf = std::make_shared<Shelf>();
  const Future<int> one = shelf->add(1, shelf);
  Event go_on;
  one.on_done([&] { go_on.wait(); });
  int got = 0;
  std::jthread waiter([&] { got = one.get(); });
  shelf->lay_out(1);
  std::this_thread::sleep_for(20ms);  // so that it has fetched, and waits for the callback
  go_on.set();
  waiter.join();
  EXPECT_EQ(got, 1);
  shelf->stop_background();
}

}  // namespace
}  // namespace sluice::tests
