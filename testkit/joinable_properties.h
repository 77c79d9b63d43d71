// SPDX-License-Identifier: Apache-2.0
//
// check_joinable_properties: any sequence of calls on a queue of tasks gives what
// testkit/joinable_model.h says: leases, done, failures, redelivery, dead letters; see
// testkit/queue_properties.h, for it is the same for queues of tasks.
//
//   std::string wrong = check_joinable_properties<MyTasksAdapter>(options);
//
// Units, errors, threads, death, cost: as testkit/queue_properties.h.

#ifndef SLUICE_TESTKIT_JOINABLE_PROPERTIES_H_
#define SLUICE_TESTKIT_JOINABLE_PROPERTIES_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include "sluice/testkit/check_options.h"
#include "sluice/testkit/joinable_model.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/property.h"

namespace sluice::internal {

/// One run of a program on a queue of tasks and on the model.
template <class A>
class JoinableRun {
 public:
  JoinableRun(const PropertyProgram& program, CodeLog code)
      : queue_(program.capacity), model_(A::kTraits, capacity(program.capacity)), code_(code) {
    code_.line(type_name(typeid(A)), " queue(", program.capacity, ");");
    code_.line("std::uint64_t dead = 0;");
  }

  static constexpr std::uint32_t kKinds = 16;

  /// At its end every task is done, but for the dead.
  std::string run(const PropertyProgram& program) {
    for (const PropertyStep& step : program.steps) {
      if (!make(step)) return wrong_;
    }
    while (!tickets_.empty()) {
      if (!finish(0, false)) return wrong_;
    }
    for (std::size_t left = model_.size() + 1; left != 0; --left) {
      if (!pop() || (!tickets_.empty() && !finish(0, false))) return wrong_;
    }
    for (std::size_t left = model_.dead().size() + 1; left != 0 && pop_dead(); --left) {
    }
    if (wrong_.empty()) look_at_unfinished();
    return wrong_;
  }

 private:
  using Call = testkit::JoinableCall;

  /// A lease, as the code calls it.
  struct Ticket {
    std::uint32_t name = 0;
    std::uint64_t item = 0;
    typename A::ticket_type ticket{};
  };

  std::size_t capacity(std::size_t asked) {
    if constexpr (requires { queue_.capacity(); }) {
      return queue_.capacity();
    } else {
      return asked;
    }
  }

  bool make(const PropertyStep& step) {
    if (step.kind < 4) return push(step.which);
    if (step.kind < 8) return pop();
    if (step.kind < 10) return finish(step.which + 4 * step.count, false);
    if (step.kind < 12) return finish(step.which + 4 * step.count, true);
    if (step.kind == 12) return pop_dead();
    if (step.kind == 13) return look_at_size();
    if (step.kind == 14) return look_at_unfinished();
    return step.which != 0 || step.count != 0 || close();
  }

  bool push(std::uint32_t which) {
    const std::uint64_t id = testkit::item(which, ++number_);
    code_.call("queue.try_push(", ItemCode{id}, ')');
    note_call("try_push()");
    const bool ok = queue_.try_push(id);
    if (model_.step({.kind = Call::Kind::push, .value = id, .ok = ok})) {
      code_.expect(ok, "queue.try_push(", ItemCode{id}, ')');
      return true;
    }
    code_.expect_other(ok, "queue.try_push(", ItemCode{id}, ')');
    return complain("try_push() gave ", ok ? "true" : "false");
  }

  bool pop() {
    Ticket ticket;
    ticket.name = ++names_;
    code_.line(type_name(typeid(typename A::ticket_type)), " task", ticket.name, ';');
    code_.call("queue.try_pop(task", ticket.name, ')');
    note_call("try_pop()");
    const bool ok = queue_.try_pop(ticket.ticket);
    if (ok == (model_.size() == 0)) {
      code_.expect_other(ok, "queue.try_pop(task", ticket.name, ')');
      return complain("try_pop() gave ", ok ? "true" : "false");
    }
    code_.expect(ok, "queue.try_pop(task", ticket.name, ')');
    return !ok || check_task(std::move(ticket));
  }

  bool check_task(Ticket ticket) {
    ticket.item = queue_.item_of(ticket.ticket);
    const std::uint64_t due = model_.next();
    code_.line("EXPECT_EQ(queue.item_of(task", ticket.name, "), ", ItemCode{due}, ");",
               ticket.item == due ? "" : "  // is another");
    if (ticket.item != due) return complain("try_pop() gave ", ItemCode{ticket.item});
    Call call = {.kind = Call::Kind::pop, .value = ticket.item};
    if constexpr (requires { queue_.attempt_of(ticket.ticket); }) {
      call.attempt = queue_.attempt_of(ticket.ticket);
      code_.line("EXPECT_EQ(queue.attempt_of(task", ticket.name, "), ", model_.next_attempt(),
                 "U);");
    }
    if (!model_.step(call)) return complain("attempt_of() gave ", call.attempt);
    tickets_.push_back(std::move(ticket));
    return true;
  }

  bool finish(std::uint32_t which, bool fails) {
    if (tickets_.empty()) return true;
    const auto at = tickets_.begin() + static_cast<std::ptrdiff_t>(which % tickets_.size());
    Ticket ticket = std::move(*at);
    tickets_.erase(at);
    const char* const name = fails ? "queue.fail" : "queue.done";
    code_.call(name, "(std::move(task", ticket.name, "))");
    note_call(fails ? "fail()" : "done()");
    if (fails) {
      queue_.fail(std::move(ticket.ticket));
    } else {
      queue_.done(std::move(ticket.ticket));
    }
    code_.line(name, "(std::move(task", ticket.name, "));");
    model_.step({.kind = fails ? Call::Kind::fail : Call::Kind::done, .value = ticket.item});
    return true;
  }

  bool pop_dead() {
    if constexpr (requires(std::uint64_t& out) { queue_.try_pop_dead(out); }) {
      code_.call("queue.try_pop_dead(dead)");
      note_call("try_pop_dead()");
      std::uint64_t dead = 0;
      const bool ok = queue_.try_pop_dead(dead);
      if (ok == model_.dead().empty()) {
        code_.expect_other(ok, "queue.try_pop_dead(dead)");
        return complain("try_pop_dead() gave ", ok ? "true" : "false");
      }
      code_.expect(ok, "queue.try_pop_dead(dead)");
      if (!ok) return true;
      const bool good = model_.step({.kind = Call::Kind::pop_dead, .value = dead});
      code_.line(good ? "EXPECT_EQ" : "EXPECT_NE", "(dead, ", ItemCode{dead}, ");");
      return good || complain("try_pop_dead() gave ", ItemCode{dead});
    }
    return true;
  }

  bool look_at_size() {
    if constexpr (requires { queue_.size(); }) {
      // What came back may be beyond the capacity, of which not all tell.
      if (model_.size() > model_.capacity()) return true;
      return check_number(Call::Kind::size, "size", queue_.size(), model_.size());
    }
    return true;
  }
  bool look_at_unfinished() {
    if constexpr (requires { queue_.unfinished(); }) {
      return check_number(Call::Kind::unfinished, "unfinished", queue_.unfinished(),
                          model_.unfinished());
    }
    return true;
  }
  bool check_number(Call::Kind kind, const char* name, std::size_t given, std::size_t due) {
    const bool good = model_.step({.kind = kind, .value = given});
    code_.line("EXPECT_EQ(queue.", name, "(), ", due, "U);",
               good ? "" : "  // gave " + std::to_string(given));
    return good || complain(name, "() gave ", given);
  }

  bool close() {
    if constexpr (requires { queue_.close(); }) {
      if (model_.is_closed()) return true;
      code_.call("queue.close()");
      note_call("close()");
      queue_.close();
      code_.line("queue.close();");
      model_.step({.kind = Call::Kind::close});
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

  A queue_;
  testkit::JoinableModel model_;
  std::vector<Ticket> tickets_;  // before the queue they came from ends
  CodeLog code_;
  std::uint32_t number_ = 0;
  std::uint32_t names_ = 0;
  std::string wrong_;
};

}  // namespace sluice::internal

namespace sluice::testkit {

/// An empty string, or what is wrong, with the code that shows it.
template <JoinableAdapter A>
  requires std::same_as<typename A::value_type, std::uint64_t>
std::string check_joinable_properties(const CheckOptions& options) {
  return internal::check_runs<internal::JoinableRun<A>>(options);
}

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_JOINABLE_PROPERTIES_H_
