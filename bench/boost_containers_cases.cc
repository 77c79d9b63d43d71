// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/boost_containers_cases.h"

#include <atomic>
#include <boost/interprocess/containers/map.hpp>
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

namespace sluice::bench {
namespace {

constexpr std::size_t kBytes = std::size_t{1} << 20;
constexpr int kOld = 1000;

template <template <class> class Allocator>
using MapWith =
    boost::interprocess::map<int, int, std::less<int>, Allocator<std::pair<const int, int>>>;

/// The map's life is the memory's: nobody destroys it.
class SluiceMap {
 public:
  SluiceMap() : segment_(kBytes) {
    segment_.with_lock([&](BoostSegment::Access& access) {
      map_ = &access.find_or_construct<Map>("map", std::less<int>(), access.allocator<int>());
    });
  }
  template <class Fn>
  void with_map(Fn fn) {
    segment_.with_lock([&](BoostSegment::Access&) { fn(*map_); });
  }

 private:
  using Map = MapWith<BoostAllocator>;
  BoostSegment segment_;
  Map* map_ = nullptr;
};

class BoostMap {
 public:
  BoostMap()
      : managed_(kBytes),
        map_(managed_.memory().construct<Map>("map")(std::less<int>(),
                                                     managed_.memory().get_segment_manager())) {}
  template <class Fn>
  void with_map(Fn fn) {
    managed_.with_lock([&] { fn(*map_); });
  }

 private:
  using Map = MapWith<BoostManaged::Allocator>;
  BoostManaged managed_;
  Map* map_;
};

/// Inserts a key that is not there, and erases it, each under a lock of its own.
template <class Subject>
void insert_and_erase(Subject& subject, int key) {
  subject.with_map([=](auto& map) { map.emplace(key, key); });
  subject.with_map([=](auto& map) { map.erase(key); });
}

template <class Subject>
std::shared_ptr<Subject> with_old_keys() {
  auto subject = std::make_shared<Subject>();
  subject->with_map([](auto& map) {
    for (int i = 0; i < kOld; ++i) map.emplace(2 * i, i);
  });
  return subject;
}

template <class Subject>
Variant alone() {
  return {"", [] {
            auto subject = with_old_keys<Subject>();
            return Roles{[subject](Slice& slice) {
              int key = 1;
              slice.report(0, 0.5e9 * slice.seconds_per_call([&] {
                insert_and_erase(*subject, key);
                key = (key + 202) % (2 * kOld);
              }));
            }};
          }};
}

template <class Subject>
Variant beside_another() {
  return {"", [] {
            auto subject = with_old_keys<Subject>();
            /// 1 while the slice is under way.
            auto running = std::make_shared<InShared<std::atomic<std::uint32_t>>>();
            const auto lead = [subject, running](Slice& slice) {
              **running = 1;
              slice.report(
                  0, 0.5e9 * slice.seconds_per_call([&] { insert_and_erase(*subject, 501); }));
              **running = 2;
            };
            const auto follow = [subject, running](Slice&) {
              while (**running == 0) continue;
              while (**running == 1) insert_and_erase(*subject, 1501);
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

}  // namespace

void add_boost_containers_cases(Suite& suite) {
  suite.add(in_ns("boost_containers/map/insert_or_erase/alone"),
            {{"sluice", {alone<SluiceMap>()}}, {"boost_managed", {alone<BoostMap>()}}});
  suite.add(
      in_ns("boost_containers/map/insert_or_erase/two"),
      {{"sluice", {beside_another<SluiceMap>()}}, {"boost_managed", {beside_another<BoostMap>()}}});
}

}  // namespace sluice::bench
