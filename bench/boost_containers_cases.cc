// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/boost_containers_cases.h"

#include <atomic>
#include <boost/interprocess/containers/map.hpp>
#include <boost/interprocess/containers/string.hpp>
#include <boost/interprocess/containers/vector.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/suite.h"
#include "sluice/bench/rivals/boost_managed.h"
#include "sluice/ipc/boost_interprocess.h"
#include "sluice/sync/wait_policy.h"

namespace sluice::bench {
namespace {

constexpr std::size_t kBytes = std::size_t{1} << 20;
constexpr int kOld = 1000;

// What lies in the memory, with either allocator. A turn is two operations, each under a lock of
// its own, after which it is as before.

struct Map {
  template <template <class> class Allocator>
  using With =
      boost::interprocess::map<int, int, std::less<int>, Allocator<std::pair<const int, int>>>;

  template <class It>
  static void fill(It& map) {
    for (int i = 0; i < kOld; ++i) map.emplace(2 * i, i);
  }
  /// Inserts a key that is not there, and erases it.
  template <class Subject>
  static void turn(Subject& subject, int key) {
    subject.with([=](auto& map) { map.emplace(2 * key + 1, key); });
    subject.with([=](auto& map) { map.erase(2 * key + 1); });
  }
};

struct Vector {
  template <template <class> class Allocator>
  using With = boost::interprocess::vector<int, Allocator<int>>;

  template <class It>
  static void fill(It& vector) {
    vector.assign(kOld, 1);
    vector.reserve(kOld + 16);
  }
  template <class Subject>
  static void turn(Subject& subject, int key) {
    subject.with([=](auto& vector) { vector.push_back(key); });
    subject.with([](auto& vector) { vector.pop_back(); });
  }
};

struct Text {
  template <template <class> class Allocator>
  using With = boost::interprocess::basic_string<char, std::char_traits<char>, Allocator<char>>;

  template <class It>
  static void fill(It& text) {
    text.assign(kOld, '.');
  }
  template <class Subject>
  static void turn(Subject& subject, int key) {
    subject.with([=](auto& text) { text.append(48, static_cast<char>(key)); });
    subject.with([](auto& text) { text.resize(text.size() - 48); });
  }
};

/// The container's life is the memory's: nobody destroys it. Ours waits as `kMode` says.
template <class Kind, WaitMode kMode>
class Sluice {
 public:
  Sluice() : segment_(kBytes) {
    segment_.with_lock([&](BoostSegment::Access& access) {
      it_ = &access.find_or_construct<It>("it", access.allocator<int>());
      Kind::fill(*it_);
    });
  }
  static void prepare() { set_wait_policy({.mode = kMode}); }
  template <class Fn>
  void with(Fn fn) {
    segment_.with_lock([&](BoostSegment::Access&) { fn(*it_); });
  }

 private:
  using It = Kind::template With<BoostAllocator>;
  BoostSegment segment_;
  It* it_ = nullptr;
};

template <class Kind>
class Managed {
 public:
  Managed()
      : managed_(kBytes),
        it_(managed_.memory().construct<It>("it")(
            BoostManaged::Allocator<int>(managed_.memory().get_segment_manager()))) {
    Kind::fill(*it_);
  }
  static void prepare() {}
  template <class Fn>
  void with(Fn fn) {
    managed_.with_lock([&] { fn(*it_); });
  }

 private:
  using It = Kind::template With<BoostManaged::Allocator>;
  BoostManaged managed_;
  It* it_;
};

template <class Kind, class Subject>
Variant alone() {
  return {"", [] {
            auto subject = std::make_shared<Subject>();
            return Roles{[subject](Slice& slice) {
              int key = 0;
              slice.report(0, 0.5e9 * slice.seconds_per_call([&] {
                Kind::turn(*subject, key);
                key = (key + 101) % kOld;
              }));
            }};
          }};
}

template <class Kind, class Subject>
Variant beside_another() {
  return {"", [] {
            auto subject = std::make_shared<Subject>();
            /// 1 while the slice is under way.
            auto running = std::make_shared<InShared<std::atomic<std::uint32_t>>>();
            const auto lead = [subject, running](Slice& slice) {
              Subject::prepare();
              **running = 1;
              slice.report(0, 0.5e9 * slice.seconds_per_call([&] { Kind::turn(*subject, 250); }));
              **running = 2;
            };
            const auto follow = [subject, running](Slice&) {
              Subject::prepare();
              while (**running == 0) continue;
              while (**running == 1) Kind::turn(*subject, 750);
              **running = 0;
            };
            return Roles{lead, follow};
          }};
}

Case in_ns(const std::string& name) {
  return {.group = "boost_containers",
          .name = name,
          .unit = "ns",
          .better = Better::lower,
          .limit = Yardstick::pingpong};
}

template <class Kind>
void add_alone(Suite& suite, const std::string& what) {
  suite.add(in_ns("boost_containers/" + what + "/alone"),
            {{"sluice", {alone<Kind, Sluice<Kind, WaitMode::adaptive>>()}},
             {"boost_managed", {alone<Kind, Managed<Kind>>()}}});
}

}  // namespace

void add_boost_containers_cases(Suite& suite) {
  add_alone<Map>(suite, "map/insert_or_erase");
  add_alone<Vector>(suite, "vector/push_or_pop");
  add_alone<Text>(suite, "string/append_or_cut");
  suite.add(in_ns("boost_containers/map/insert_or_erase/two"),
            {{"sluice", {beside_another<Map, Sluice<Map, WaitMode::adaptive>>()}},
             {"sluice_block", {beside_another<Map, Sluice<Map, WaitMode::block>>()}},
             {"boost_managed", {beside_another<Map, Managed<Map>>()}}});
}

}  // namespace sluice::bench
