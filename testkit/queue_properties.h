// SPDX-License-Identifier: Apache-2.0
//
// check_queue_properties: any sequence of calls on a queue gives what the model of its order and
// capacity (testkit/models.h) gives. One that does not is made as small as it gets, and comes as
// code that can be put into a test:
//
//   std::string wrong = check_queue_properties<MyAdapter<std::uint64_t>>(options);
//
//   try_pop() gave item(0, 2)
//   {
//     MyAdapter<std::uint64_t> queue(2);
//     std::uint64_t out = 0;
//     EXPECT_TRUE(queue.try_push(item(0, 1)));
//     EXPECT_TRUE(queue.try_push(item(0, 2)));
//     EXPECT_TRUE(queue.try_pop(out));
//     EXPECT_EQ(out, item(0, 1));  // gave item(0, 2)
//   }
//
// Each call that the adapter has takes part: those that wait where they need not, batches, size(),
// close(); parties, if it has them, are two. testkit/property_suite.h is the GoogleTest face.
//
// Units: programs, of up to 100 calls. Errors: what a queue throws is its verdict. Threads: one;
// the process should have no other, for programs run in forked ones. If a process dies here: a
// program that crashes or hangs is found, and made small like any other. Cost: 500 programs take
// less than a tenth of a second, the 10,000 of the full profile a second or two.

#ifndef SLUICE_TESTKIT_QUEUE_PROPERTIES_H_
#define SLUICE_TESTKIT_QUEUE_PROPERTIES_H_

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include "sluice/testkit/check_options.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/property.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_under_test.h"

namespace sluice::internal {

/// One run of a program on a queue and on the model.
template <class A>
class QueueRun {
 public:
  QueueRun(const PropertyProgram& program, CodeLog code)
      : queue_(program.capacity),
        model_(A::kTraits, queue_.capacity()),
        first_(testkit::party_of(*queue_)),
        second_(another(*queue_, first_)),
        code_(code) {
    if (testkit::LocalAdapter<A>) {
      code_.line(type_name(typeid(A)), " queue(", program.capacity, ");");
    } else {
      code_.line("QueueUnderTest<", type_name(typeid(A)), "> made(", program.capacity, ");");
      code_.line("auto& queue = *made;");
    }
    if (kHasParties) code_.line("auto party0 = queue.party();");
    if (kPushers > 1) code_.line("auto party1 = queue.party();");
    code_.line("std::uint64_t out = 0;");
  }

  std::string run(const PropertyProgram& program) {
    for (const PropertyStep& step : program.steps) {
      if (!make(step)) return wrong_;
    }
    // Whatever is lost is found here at the latest.
    for (std::size_t left = model_.size() + 1; left != 0; --left) {
      if (!pop(first_, "try_pop", 0)) return wrong_;
    }
    return wrong_;
  }

  static constexpr std::uint32_t kKinds = 16;

 private:
  using Order = testkit::QueueOrder;
  static constexpr testkit::QueueTraits kTraits = A::kTraits;
  static constexpr bool kHasParties = requires(A& queue) { queue.party(); };
  static constexpr std::uint32_t kPushers =
      kHasParties && kTraits.producers > 1 && kTraits.consumers > 1 ? 2 : 1;
  /// Who a queue takes for one producer is the thread or the party.
  static constexpr std::uint32_t kNames = kTraits.order == Order::per_producer_fifo ? kPushers : 4;

  using Party = decltype(testkit::party_of(std::declval<A&>()));
  using Second = std::conditional_t<(kPushers > 1), Party, std::remove_reference_t<Party>&>;
  /// Or the same once more, where there may be but one.
  static Second another(A& queue, std::remove_reference_t<Party>& first) {
    if constexpr (kPushers > 1) {
      return testkit::party_of(queue);
    } else {
      return first;
    }
  }

  bool make(const PropertyStep& step) {
    auto& queue = step.which % 2 == 1 ? second_ : first_;
    if (step.kind < 5) return push(queue, "try_push", step.which);
    if (step.kind < 10) return pop(queue, "try_pop", step.which);
    if (step.kind == 10) return look_at_size();
    if (step.kind == 11) return step.count == 0 && step.which == 0 ? close() : true;
    if (step.kind == 12) return push_and_wait(queue, step.which);
    if (step.kind == 13) return pop_and_wait(queue, step.which);
    if (step.kind == 14) return push_n(queue, step.which, step.count);
    return pop_n(queue, step.which, step.count);
  }

  using Call = testkit::QueueCall;

  static const char* name(std::uint32_t which) {
    if (!kHasParties) return "queue";
    return kPushers > 1 && which % 2 == 1 ? "party1" : "party0";
  }
  std::uint64_t next_item(std::uint32_t which) { return testkit::item(which % kNames, ++number_); }

  template <class Queue>
  bool push(Queue& queue, const char* call, std::uint32_t which) {
    const std::uint64_t id = next_item(which);
    code_.call(name(which), '.', call, '(', ItemCode{id}, ')');
    note_call(call);
    bool ok = false;
    if constexpr (testkit::BlockingAdapter<A>) {
      ok = call[0] == 'p' ? queue.push(id) : queue.try_push(id);
    } else {
      ok = queue.try_push(id);
    }
    if (model_.step({Call::Kind::push, id, ok})) {
      code_.expect(ok, name(which), '.', call, '(', ItemCode{id}, ')');
      return true;
    }
    code_.expect_other(ok, name(which), '.', call, '(', ItemCode{id}, ')');
    return complain(std::string(call) + "() gave " + (ok ? "true" : "false"));
  }

  template <class Queue>
  bool pop(Queue& queue, const char* call, std::uint32_t which) {
    code_.call(name(which), '.', call, "(out)");
    note_call(call);
    std::uint64_t out = 0;
    bool ok = false;
    if constexpr (testkit::BlockingAdapter<A>) {
      ok = call[0] == 'p' ? queue.pop(out) : queue.try_pop(out);
    } else {
      ok = queue.try_pop(out);
    }
    if (ok == (model_.size() == 0)) {
      code_.expect_other(ok, name(which), '.', call, "(out)");
      return complain(std::string(call) + "() gave " + (ok ? "true" : "false"));
    }
    code_.expect(ok, name(which), '.', call, "(out)");
    return !ok || check_item(out, call, "out");
  }

  /// The item that came out, as the code calls it, by that call.
  bool check_item(std::uint64_t id, const char* call, const std::string& as) {
    std::vector<std::uint64_t> possible;
    for (const std::uint64_t other : model_.items()) {
      testkit::QueueModel copy = model_;
      if (copy.step({Call::Kind::pop, other, true})) possible.push_back(other);
    }
    if (model_.step({Call::Kind::pop, id, true})) {
      code_.line("EXPECT_EQ(", as, ", ", ItemCode{id}, ");");
      return true;
    }
    if (possible.size() == 1) {
      code_.line("EXPECT_EQ(", as, ", ", ItemCode{possible[0]}, ");  // gave ", ItemCode{id});
    } else {
      code_.line("EXPECT_NE(", as, ", ", ItemCode{id}, ");  // may be any of ", code_of(possible));
    }
    std::ostringstream text;
    text << call << "() gave " << ItemCode{id};
    return complain(text.str());
  }

  template <class Queue>
  bool push_and_wait(Queue& queue, std::uint32_t which) {
    if (!testkit::BlockingAdapter<A> || (model_.is_full() && !model_.is_closed())) return true;
    return push(queue, "push", which);
  }
  template <class Queue>
  bool pop_and_wait(Queue& queue, std::uint32_t which) {
    if (!testkit::BlockingAdapter<A> || (model_.size() == 0 && !model_.is_closed())) return true;
    return pop(queue, "pop", which);
  }

  bool look_at_size() {
    if constexpr (testkit::SizedAdapter<A>) {
      code_.call("queue.size()");
      note_call("size()");
      const std::size_t size = queue_->size();
      const bool good = size == model_.size();
      code_.line("EXPECT_EQ(queue.size(), ", model_.size(), "U);",
                 good ? "" : "  // gave " + std::to_string(size));
      return good || complain("size() gave " + std::to_string(size));
    }
    return true;
  }

  bool close() {
    if constexpr (testkit::ClosableAdapter<A>) {
      if (model_.is_closed()) return true;
      code_.call("queue.close()");
      note_call("close()");
      queue_->close();
      code_.line("queue.close();");
      model_.step({Call::Kind::close, 0, true});
    }
    return true;
  }

  template <class Queue>
  bool push_n(Queue& queue, std::uint32_t which, std::uint32_t count) {
    if constexpr (testkit::BatchAdapter<A>) {
      std::vector<std::uint64_t> ids;
      while (ids.size() < count) ids.push_back(next_item(which));
      const std::string vector = "std::vector<std::uint64_t>" + code_of(ids);
      code_.call(name(which), ".try_push_n(", vector, ")");
      note_call("try_push_n()");
      const std::size_t given = queue.try_push_n(ids);
      bool good = given <= count;
      for (std::size_t i = 0; i < given && good; ++i) {
        good = model_.step({Call::Kind::push, ids[i], true});
      }
      // Some queues push all or none; but where there is room for all, not none.
      const bool fits = !model_.is_closed() && model_.capacity() - model_.size() >= count;
      good = good && (given != 0 || count == 0 || !fits);
      code_.line(good ? "EXPECT_EQ(" : "EXPECT_NE(", name(which), ".try_push_n(", vector, "), ",
                 given, "U);");
      return good || complain("try_push_n() gave " + std::to_string(given));
    }
    return true;
  }

  template <class Queue>
  bool pop_n(Queue& queue, std::uint32_t which, std::uint32_t count) {
    if constexpr (testkit::BatchAdapter<A>) {
      std::vector<std::uint64_t> some(count);
      code_.line("std::vector<std::uint64_t> some", ++vectors_, "(", count, ");");
      code_.call(name(which), ".try_pop_n(some", vectors_, ")");
      note_call("try_pop_n()");
      const std::size_t given = queue.try_pop_n(some);
      const bool good = given <= std::min<std::size_t>(count, model_.size()) &&
                        (given != 0 || count == 0 || model_.size() == 0);
      code_.line(good ? "EXPECT_EQ(" : "EXPECT_NE(", name(which), ".try_pop_n(some", vectors_,
                 "), ", given, "U);");
      if (!good) return complain("try_pop_n() gave " + std::to_string(given));
      for (std::size_t i = 0; i < given; ++i) {
        const std::string as = "some" + std::to_string(vectors_) + "[" + std::to_string(i) + "]";
        if (!check_item(some[i], "try_pop_n", as)) return false;
      }
    }
    return true;
  }

  bool complain(const std::string& what) {
    wrong_ = what;
    return false;
  }

  testkit::QueueUnderTest<A> queue_;
  testkit::QueueModel model_;
  Party first_;
  Second second_;
  CodeLog code_;
  std::uint32_t number_ = 0;
  std::uint32_t vectors_ = 0;
  std::string wrong_;
};

}  // namespace sluice::internal

namespace sluice::testkit {

/// An empty string, or what is wrong, with the code that shows it. 500 programs, or 10,000 where
/// the profile is full.
template <MakeableAdapter A>
  requires std::same_as<typename A::value_type, std::uint64_t>
std::string check_queue_properties(const CheckOptions& options) {
  return internal::check_runs<internal::QueueRun<A>>(options);
}

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_QUEUE_PROPERTIES_H_
