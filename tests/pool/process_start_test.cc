// SPDX-License-Identifier: Apache-2.0
//
// Process before, at and after its start: arguments, options, names, derived classes, misuse, what
// descriptors it holds. Rows PR1, PR3, PR7, PR11, PR15, PR18, PR24, PR29.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cctype>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/ipc/pipe.h"
#include "sluice/pool/exit.h"
#include "sluice/pool/process.h"
#include "sluice/pool/start_options.h"
#include "sluice/pool/this_process.h"
#include "sluice/sync/error.h"
#include "sluice/tests/support/child_party.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

long descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

std::optional<int> code_after_join(Process& process) {
  EXPECT_TRUE(process.join(20s));
  return process.exit_code();
}

// -------------------------------------------------------------------------------------------------
// What it runs

int check_arguments(int number, const std::string& text, const std::vector<int>& numbers,
                    std::unique_ptr<int> owned) {
  sluice::exit(number == 7 && text == "seven" && numbers.size() == 7 && *owned == 7 ? 0 : 1);
}

TEST(ProcessStart, PR3_ArgumentsOfAnyTypeArriveAsTheyWere) {
  Process child(check_arguments, 7, "seven", std::vector<int>(7), std::make_unique<int>(7));
  EXPECT_EQ(code_after_join(child), 0);
  Process named("named", check_arguments, 7, std::string("seven"), std::vector<int>(7),
                std::make_unique<int>(7));
  EXPECT_EQ(code_after_join(named), 0);
}

struct Counter {
  void add(int n) { sluice::exit(sum + n); }
  int sum;
};

TEST(ProcessStart, PR3_AMemberFunctionIsACallable) {
  Process child(&Counter::add, Counter{40}, 2);
  EXPECT_EQ(code_after_join(child), 42);
}

TEST(ProcessStart, PR3_AReferenceArgumentIsACopyUnlessWrapped) {
  int number = 1;
  const int* const here = &number;
  Process child(
      [=](const int& copied, int& same) { sluice::exit(&copied != here && &same == here); }, number,
      std::ref(number));
  EXPECT_EQ(code_after_join(child), 1);
}

class Echo : public Process {
 public:
  Echo(Receiver requests, Sender answers)
      : requests_(std::move(requests)), answers_(std::move(answers)) {}

 private:
  void run() override {
    while (std::optional<std::string> word = requests_.recv<std::string>()) {
      if (word->empty()) return;
      for (char& letter : *word) letter = static_cast<char>(std::toupper(letter));
      answers_.send_or_throw(*word);
    }
  }

  Receiver requests_;
  Sender answers_;
};

TEST(ProcessStart, PR24_ADerivedClassRunsItsOwn) {
  Pipe there = Pipe::create(1 << 12);
  Pipe back = Pipe::create(1 << 12);
  Echo echo(std::move(there.receiver), std::move(back.sender));
  EXPECT_FALSE(echo.alive()) << "not before it is told to";
  echo.start();
  for (const auto& [word, answer] : {std::pair("hello", "HELLO"), std::pair("world", "WORLD")}) {
    there.sender.send_or_throw(std::string(word));
    EXPECT_EQ(back.receiver.recv<std::string>(), answer);
  }
  there.sender.send_or_throw(std::string());
  EXPECT_EQ(code_after_join(echo), 0);
}

// -------------------------------------------------------------------------------------------------
// Names

std::string name_it_has() {
  auto [rx, tx] = Pipe::create(1 << 12);
  Process child([t = &tx] { t->send_or_throw(this_process::name()); });
  const std::string told = rx.recv<std::string>().value_or("nothing");
  EXPECT_EQ(child.name(), told) << "the parent says otherwise";
  return told;
}

int number_of(const std::string& name) { return std::stoi(name.substr(name.rfind('-') + 1)); }

TEST(ProcessName, PR7_DefaultNamesCount) {
  const std::string first = name_it_has();
  EXPECT_EQ(first, "Process-" + std::to_string(number_of(first)));
  EXPECT_EQ(name_it_has(), "Process-" + std::to_string(number_of(first) + 1));
}

TEST(ProcessName, PR7_AChildsChildrenCountUnderItsNumber) {
  auto [rx, tx] = Pipe::create(1 << 12);
  Process child("a name of its own", [t = &tx] {
    for (int i = 0; i < 2; ++i) {
      Process grandchild([=] { t->send_or_throw(this_process::name()); });
      grandchild.join();
      Process({.start = Start::later}, [] {}).close();
    }
  });
  const int mine = number_of(Process({.start = Start::later}, [] {}).name()) - 1;
  child.join();
  // A sender that the grandchildren used is another process's; each takes it over in turn.
  EXPECT_EQ(rx.recv<std::string>(), "Process-" + std::to_string(mine) + ":1");
}

class Worker : public Process {
  void run() override { sluice::exit(this_process::name() == name() ? 0 : 1); }
};

TEST(ProcessName, PR7_ADerivedClassGivesItsName) {
  Worker worker;
  EXPECT_THAT(worker.name(), testing::MatchesRegex("Worker-[0-9]+"));
  worker.start();
  EXPECT_EQ(code_after_join(worker), 0);
}

// -------------------------------------------------------------------------------------------------
// This process

TEST(ThisProcess, PR1_TheFirstProcess) {
  EXPECT_EQ(this_process::name(), "MainProcess");
  EXPECT_EQ(this_process::pid(), getpid());
  EXPECT_FALSE(this_process::daemon());
  EXPECT_EQ(this_process::parent(), nullptr);
}

TEST(ThisProcess, PR11_ProcessorsThatItMayUse) {
  EXPECT_GE(this_process::usable_cpu_count(), 1);
  EXPECT_LE(this_process::usable_cpu_count(), this_process::cpu_count());
  Process child([] {
    cpu_set_t one, before;
    sched_getaffinity(0, sizeof before, &before);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu) {
      if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
    }
    sched_setaffinity(0, sizeof one, &one);
    sluice::exit(this_process::usable_cpu_count());
  });
  EXPECT_EQ(code_after_join(child), 1);
}

// -------------------------------------------------------------------------------------------------
// Later, and misuse

TEST(ProcessStart, PR7_BeforeAndAfterAStart) {
  Gate end;
  Process child({.name = "later", .start = Start::later}, [&] { end.wait(); });
  EXPECT_FALSE(child.alive());
  EXPECT_EQ(child.pid(), -1);
  EXPECT_EQ(child.exit_code(), std::nullopt);
  EXPECT_TRUE(active_children().empty());
  child.start();
  EXPECT_TRUE(child.alive());
  ASSERT_EQ(active_children().size(), 1U);
  EXPECT_EQ(active_children()[0].name, "later");
  EXPECT_EQ(active_children()[0].pid, child.pid());
  EXPECT_EQ(child.exit_code(), std::nullopt);
  end.open();
  EXPECT_EQ(code_after_join(child), 0);
  EXPECT_FALSE(child.alive());
  EXPECT_TRUE(active_children().empty());
}

TEST(ProcessStart, PR29_WhatNeedsAStartAndWhatTheStartEnds) {
  Process child({.start = Start::later}, [] {});
  EXPECT_THROW(child.join(), std::logic_error);
  EXPECT_THROW(child.terminate(), std::logic_error);
  EXPECT_THROW(static_cast<void>(child.sentinel()), std::logic_error);
  child.set_name("renamed");
  child.set_daemon(true);
  EXPECT_TRUE(child.daemon());
  child.start();
  EXPECT_EQ(child.name(), "renamed");
  EXPECT_THROW(child.start(), std::logic_error);
  EXPECT_THROW(child.set_daemon(false), std::logic_error);
  EXPECT_THROW(child.set_name("again"), std::logic_error);
  EXPECT_EQ(code_after_join(child), 0);
  EXPECT_THROW(child.start(), std::logic_error) << "also when it has ended";
}

TEST(ProcessStart, PR29_AnotherProcessCannotStartIt) {
  Process later({.start = Start::later}, [] {});
  Process other([&] {
    try {
      later.start();
    } catch (const std::logic_error& e) {
      sluice::exit(std::string(e.what()).find("not a child") != std::string::npos ? 0 : 1);
    }
    sluice::exit(2);
  });
  EXPECT_EQ(code_after_join(other), 0);
  later.start();
  EXPECT_EQ(code_after_join(later), 0);
}

TEST(ProcessStart, ADerivedClassWithoutARunIsTold) {
  struct Nothing : Process {};
  Nothing nothing;
  nothing.start();
  EXPECT_EQ(code_after_join(nothing), 1);
}

TEST(ProcessStart, OneThatFailsMayBeTriedAgain) {
  Process child({.start = Start::later}, [] { sluice::exit(9); });
  const long before = descriptors();
  rlimit few = {}, was = {};
  getrlimit(RLIMIT_NOFILE, &was);
  few = {.rlim_cur = static_cast<rlim_t>(before), .rlim_max = was.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  EXPECT_THROW(child.start(), Error);
  setrlimit(RLIMIT_NOFILE, &was);
  EXPECT_EQ(descriptors(), before);
  EXPECT_FALSE(child.alive());
  EXPECT_TRUE(active_children().empty());
  child.start();
  EXPECT_EQ(code_after_join(child), 9);
}

TEST(ProcessStart, PR15_CloseOfARunningOneIsAnErrorAndChangesNothing) {
  const long before = descriptors();
  Gate end;
  Process child([&] { end.wait(); });
  EXPECT_THROW(child.close(), std::logic_error);
  EXPECT_TRUE(child.alive());
  end.open();
  EXPECT_EQ(code_after_join(child), 0);
  child.close();
  child.close();
  EXPECT_EQ(descriptors(), before + 2) << "the gate of this test, and no more";
  EXPECT_THROW(static_cast<void>(child.alive()), std::logic_error);
  EXPECT_THROW(child.join(), std::logic_error);
  EXPECT_THROW(child.terminate(), std::logic_error);
  EXPECT_THROW(static_cast<void>(child.exit_code()), std::logic_error);
  EXPECT_THROW(child.start(), std::logic_error);
  std::ostringstream text;
  text << child;
  EXPECT_THAT(text.str(), HasSubstr("closed"));
}

TEST(ProcessStart, PR15_OneThatWasMovedFromIsAsClosed) {
  Process first({.start = Start::later}, [] { sluice::exit(4); });
  Process second = std::move(first);
  EXPECT_THROW(first.start(), std::logic_error);
  EXPECT_THROW(static_cast<void>(first.exit_code()), std::logic_error);
  EXPECT_NO_THROW(first.close());
  second.start();
  EXPECT_EQ(code_after_join(second), 4);
}

TEST(ProcessStart, ManyThreadsMayJoinOne) {
  Gate end;
  Process child([&] {
    end.wait();
    sluice::exit(3);
  });
  std::atomic<int> told = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      if (child.join(20s) && child.exit_code() == 3) ++told;
    });
  }
  end.open();
  threads.clear();
  EXPECT_EQ(told, 4);
}

// -------------------------------------------------------------------------------------------------
// Descriptors

TEST(ProcessDescriptors, PR18_LaterChildrenHoldNoMoreThanEarlierOnes) {
  Gate end;
  auto [rx, tx] = Pipe::create(1 << 12);
  std::vector<Process> children;
  for (int i = 0; i < 5; ++i) {
    for (const bool daemon : {false, true}) {
      children.emplace_back(StartOptions{.daemon = daemon}, [&] {
        end.wait();
        sluice::exit(static_cast<int>(descriptors()));
      });
    }
  }
  for (int i = 0; i < 10; ++i) end.open();
  for (std::size_t i = 2; i < children.size(); ++i) {
    EXPECT_EQ(code_after_join(children[i]), code_after_join(children[i % 2])) << i;
  }
}

TEST(ProcessDescriptors, PR18_AlsoOfThoseStartedByManyThreadsAtOnce) {
  const int usual = [] {
    Process child([] { sluice::exit(static_cast<int>(descriptors())); });
    return code_after_join(child).value_or(-1);
  }();
  std::atomic<int> different = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        Process child([] { sluice::exit(static_cast<int>(descriptors())); });
        if (code_after_join(child) != usual) ++different;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(different, 0);
}

TEST(ProcessDescriptors, PR18_AProcessOfThePlainForkHoldsNoneOfThemEither) {
  const long before = descriptors();
  Gate end;
  const long with_gate = descriptors();
  Process child({.daemon = true}, [&] { end.wait(); });
  EXPECT_GT(descriptors(), with_gate);
  const pid_t forked = fork();
  if (forked == 0) _exit(descriptors() == with_gate && child.pid() > 0 ? 0 : 1);
  int status = 0;
  waitpid(forked, &status, 0);
  EXPECT_EQ(status, 0);
  end.open();
  EXPECT_EQ(code_after_join(child), 0);
  child.close();
  EXPECT_EQ(descriptors(), before + 2);
}

}  // namespace
}  // namespace sluice::tests
