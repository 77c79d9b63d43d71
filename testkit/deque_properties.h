// SPDX-License-Identifier: Apache-2.0
//
// check_deque_properties: any sequence of calls at the four ends of a deque gives what
// testkit/deque_model.h says; see testkit/queue_properties.h, for it is the same for deques.
//
//   std::string wrong = check_deque_properties<MyDequeAdapter>(options);
//
// Units, errors, threads, death, cost: as testkit/queue_properties.h.

#ifndef SLUICE_TESTKIT_DEQUE_PROPERTIES_H_
#define SLUICE_TESTKIT_DEQUE_PROPERTIES_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>
#include <typeinfo>

#include "sluice/testkit/check_options.h"
#include "sluice/testkit/deque_model.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/property.h"

namespace sluice::internal {

/// One run of a program on a deque and on the model.
template <class A>
class DequeRun {
 public:
  DequeRun(const PropertyProgram& program, CodeLog code)
      : deque_(program.capacity), model_(A::kTraits, capacity(program.capacity)), code_(code) {
    code_.line(type_name(typeid(A)), " deque(", program.capacity, ");");
    code_.line("std::uint64_t out = 0;");
  }

  static constexpr std::uint32_t kKinds = 10;

  std::string run(const PropertyProgram& program) {
    for (const PropertyStep& step : program.steps) {
      if (!make(step)) return wrong_;
    }
    for (std::size_t left = model_.size() + 1; left != 0 && pop(true); --left) {
    }
    return wrong_;
  }

 private:
  using Call = testkit::DequeCall;

  std::size_t capacity(std::size_t asked) {
    if constexpr (requires { deque_.capacity(); }) {
      return deque_.capacity();
    } else {
      return asked;
    }
  }

  bool make(const PropertyStep& step) {
    if (step.kind < 4) return push(step.kind % 2 == 1, step.which);
    if (step.kind < 8) return pop(step.kind % 2 == 1);
    if (step.kind == 8) return look_at_size();
    return step.which != 0 || step.count != 0 || close();
  }

  bool push(bool front, std::uint32_t which) {
    const char* const name = front ? "try_push_front(" : "try_push_back(";
    const std::uint64_t id = testkit::item(which, ++number_);
    code_.call("deque.", name, ItemCode{id}, ')');
    note_call(front ? "try_push_front()" : "try_push_back()");
    const bool ok = front ? deque_.try_push_front(id) : deque_.try_push_back(id);
    if (model_.step({front ? Call::Kind::push_front : Call::Kind::push_back, id, ok})) {
      code_.expect(ok, "deque.", name, ItemCode{id}, ')');
      return true;
    }
    code_.expect_other(ok, "deque.", name, ItemCode{id}, ')');
    return complain(name, ok ? ") gave true" : ") gave false");
  }

  bool pop(bool front) {
    const char* const name = front ? "try_pop_front(" : "try_pop_back(";
    code_.call("deque.", name, "out)");
    note_call(front ? "try_pop_front()" : "try_pop_back()");
    std::uint64_t out = 0;
    const bool ok = front ? deque_.try_pop_front(out) : deque_.try_pop_back(out);
    if (ok == (model_.size() == 0)) {
      code_.expect_other(ok, "deque.", name, "out)");
      return complain(name, ok ? ") gave true" : ") gave false");
    }
    code_.expect(ok, "deque.", name, "out)");
    if (!ok) return true;
    const std::uint64_t due = front ? model_.items().front() : model_.items().back();
    if (model_.step({front ? Call::Kind::pop_front : Call::Kind::pop_back, out, true})) {
      code_.line("EXPECT_EQ(out, ", ItemCode{out}, ");");
      return true;
    }
    code_.line("EXPECT_EQ(out, ", ItemCode{due}, ");  // gave ", ItemCode{out});
    return complain(name, ") gave ", ItemCode{out});
  }

  bool look_at_size() {
    if constexpr (requires { deque_.size(); }) {
      note_call("size()");
      const std::size_t size = deque_.size();
      const bool good = size == model_.size();
      code_.line("EXPECT_EQ(deque.size(), ", model_.size(), "U);",
                 good ? "" : "  // gave " + std::to_string(size));
      return good || complain("size() gave ", size);
    }
    return true;
  }

  bool close() {
    if constexpr (requires { deque_.close(); }) {
      if (model_.is_closed()) return true;
      code_.call("deque.close()");
      note_call("close()");
      deque_.close();
      code_.line("deque.close();");
      model_.step({Call::Kind::close, 0, true});
    }
    return true;
  }

  template <class... Parts>
  bool complain(const Parts&... parts) {
    std::ostringstream text;
    (text << ... << parts);
    wrong_ = text.str();
    return false;
  }

  A deque_;
  testkit::DequeModel model_;
  CodeLog code_;
  std::uint32_t number_ = 0;
  std::string wrong_;
};

}  // namespace sluice::internal

namespace sluice::testkit {

/// An empty string, or what is wrong, with the code that shows it.
template <DequeAdapter A>
  requires std::same_as<typename A::value_type, std::uint64_t>
std::string check_deque_properties(const CheckOptions& options) {
  return internal::check_runs<internal::DequeRun<A>>(options);
}

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_DEQUE_PROPERTIES_H_
