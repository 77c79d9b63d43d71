// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/value_cases.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/rivals/pthread_lock.h"
#include "sluice/bench/rivals/shared_value.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/platform.h"

namespace sluice::bench {
namespace {

/// Makes the compiler believe that somebody uses `object`, and changes it.
template <class T>
void use(T& object) {
  asm volatile("" : : "r"(&object) : "memory");
}

enum class Call : std::uint8_t { load, store, update };

template <class Value, Call kCall>
void call(Value& shared, typename Value::T& mine) {
  if constexpr (kCall == Call::load) {
    shared.load(mine);
  } else if constexpr (kCall == Call::store) {
    shared.store(mine);
  } else {
    shared.update();
  }
  use(mine);
}

template <class Value, Call kCall>
Variant alone() {
  return {"", [] {
            auto shared = std::make_shared<InShared<Value>>();
            return Roles{[shared](Slice& slice) {
              Value::begin();
              Value& value = **shared;
              typename Value::T mine = {};
              slice.report(0,
                           1e9 * slice.seconds_per_call([&] { call<Value, kCall>(value, mine); }));
            }};
          }};
}

template <class Value>
struct Contended {
  alignas(kNoSharing) Value value;
  /// 1 while the slice is under way.
  alignas(kNoSharing) std::atomic<std::uint32_t> running = 0;
};

/// The second process does `theirs` all the time; the figure is how long `mine` takes beside it.
template <class Value, class Mine, class Theirs>
Variant beside(Mine mine, Theirs theirs) {
  return {"", [mine, theirs] {
            auto shared = std::make_shared<InShared<Contended<Value>>>();
            const auto lead = [shared, mine](Slice& slice) {
              Value::begin();
              Contended<Value>& contended = **shared;
              typename Value::T room = {};
              contended.running = 1;
              slice.report(0, 1e9 * slice.seconds_per_call([&] { mine(contended.value, room); }));
              contended.running = 2;
            };
            const auto follow = [shared, theirs](Slice&) {
              Value::begin();
              Contended<Value>& contended = **shared;
              typename Value::T room = {};
              while (contended.running == 0) continue;
              while (contended.running == 1) theirs(contended.value, room);
              contended.running = 0;
            };
            return Roles{lead, follow};
          }};
}

template <class Value>
Variant adding() {
  const auto add = [](Value& value, typename Value::T&) { value.add_one(); };
  return beside<Value>(add, add);
}

template <class Value>
Variant loading_beside_a_writer() {
  return beside<Value>(call<Value, Call::load>, call<Value, Call::store>);
}

Case in_ns(const std::string& name) {
  return {.group = "value",
          .name = name,
          .unit = "ns",
          .better = Better::lower,
          .limit = Yardstick::pingpong};
}

template <std::size_t kSize, Call kCall>
void add_alone(Suite& suite, const std::string& name) {
  using Locked = LockedValue<kSize, PthreadMutex<Robust::no>>;
  using Robustly = LockedValue<kSize, PthreadMutex<Robust::yes>>;
  std::vector<Subject> subjects = {{"sluice", {alone<SluiceValue<kSize>, kCall>()}},
                                   {"sluice_mutex", {alone<LockedValue<kSize, Mutex>, kCall>()}},
                                   {"pthread", {alone<Locked, kCall>()}},
                                   {"pthread_robust", {alone<Robustly, kCall>()}},
                                   {"seqlock_unsafe", {alone<SeqlockValue<kSize>, kCall>()}},
                                   {"memcpy_unsafe", {alone<CopiedValue<kSize>, kCall>()}}};
  if constexpr (kSize == 8) {
    subjects.push_back({"std_atomic", {alone<AtomicValue<kSize>, kCall>()}});
  }
  suite.add(in_ns("value/" + name + "/" + std::to_string(kSize)), subjects);
}

template <std::size_t kSize>
void add_size(Suite& suite) {
  add_alone<kSize, Call::load>(suite, "load");
  add_alone<kSize, Call::store>(suite, "store");
  add_alone<kSize, Call::update>(suite, "update");
}

template <std::size_t kSize>
void add_load_beside_a_writer(Suite& suite) {
  using Locked = LockedValue<kSize, PthreadMutex<Robust::no>>;
  suite.add(in_ns("value/load_beside_writer/" + std::to_string(kSize)),
            {{"sluice", {loading_beside_a_writer<SluiceValue<kSize>>()}},
             {"pthread", {loading_beside_a_writer<Locked>()}},
             {"seqlock_unsafe", {loading_beside_a_writer<SeqlockValue<kSize>>()}},
             {"memcpy_unsafe", {loading_beside_a_writer<CopiedValue<kSize>>()}}});
}

}  // namespace

void add_value_cases(Suite& suite) {
  add_size<8>(suite);
  add_size<64>(suite);
  add_size<4096>(suite);
  suite.add(in_ns("value/fetch_add/two"),
            {{"sluice", {adding<SluiceValue<8>>()}},
             {"std_atomic", {adding<AtomicValue<8>>()}},
             {"pthread", {adding<LockedValue<8, PthreadMutex<Robust::no>>>()}}});
  add_load_beside_a_writer<64>(suite);
  add_load_beside_a_writer<4096>(suite);
}

}  // namespace sluice::bench
