// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/segment_cases.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/stats.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/yardsticks.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/shared.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::bench {
namespace {

constexpr std::size_t kSize = std::size_t{1} << 20;

struct Mebibyte {
  static constexpr std::string_view kTypeName = "sluice.bench.Mebibyte/1";
  std::array<std::uint64_t, kSize / sizeof(std::uint64_t)> words;
};

/// Makes the compiler believe that somebody uses `value`.
void use(std::uint64_t value) { asm volatile("" : : "r"(value)); }

std::string name_of_this_run() { return "bench-" + std::to_string(::getpid()); }

/// Opens it and looks at a word, microseconds; closing is not counted.
Roles attach(Populate populate) {
  auto made =
      std::make_shared<Shared<Mebibyte>>(Shared<Mebibyte>::open_or_create(name_of_this_run()));
  return {[made, populate](Slice& slice) {
    std::vector<double> seconds;
    Slice::run_for(slice.times().warm_up + slice.times().measured, [&] {
      const Clock::time_point begin = Clock::now();
      const auto mine = Shared<Mebibyte>::open(made->name(), SegmentOptions{.populate = populate});
      use(mine->words[0]);
      seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
    });
    slice.report(0, 1e6 * summarize(std::move(seconds)).median);
  }};
}

/// The least that there is: no name but the kernel's, no checks.
Roles attach_bare() {
  const std::string name = "/" + name_of_this_run();
  const UniqueFd made(::shm_open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!made || ::ftruncate(made.get(), kSize) != 0) {
    throw std::system_error(errno, std::generic_category(), "shm_open");
  }
  const auto unlinks =
      std::shared_ptr<void>(nullptr, [name](void* /*nothing*/) { ::shm_unlink(name.c_str()); });
  return {[name, unlinks](Slice& slice) {
    std::vector<double> seconds;
    Slice::run_for(slice.times().warm_up + slice.times().measured, [&] {
      const Clock::time_point begin = Clock::now();
      const UniqueFd fd(::shm_open(name.c_str(), O_RDWR | O_CLOEXEC, 0));
      void* const base = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
      if (base == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
      use(*static_cast<const std::uint64_t*>(base));
      seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
      ::munmap(base, kSize);
    });
    slice.report(0, 1e6 * summarize(std::move(seconds)).median);
  }};
}

/// Adds up numbers, one at a time, through what `reach` returns.
template <class Reach>
Roles add_up(Reach reach) {
  return {[reach](Slice& slice) {
    std::size_t at = 0;
    slice.report(0, 1e9 * slice.seconds_per_call([&] {
      use(reach()->words[at++ % 512]);
      asm volatile("" : : : "memory");
    }));
  }};
}

}  // namespace

void add_segment_cases(Suite& suite) {
  const auto in = [](const std::string& name, const std::string& unit) {
    return Case{.group = "segment",
                .name = "segment/" + name,
                .unit = unit,
                .better = Better::lower,
                .limit = Yardstick::pingpong};
  };
  const Variant bare = {"", attach_bare};
  suite.add(in("attach/1048576", "us"),
            {{"sluice", {{"", [] { return attach(Populate::automatic); }}}}, {"shm_open", {bare}}});
  suite.add(in("attach_populated/1048576", "us"),
            {{"sluice", {{"", [] { return attach(Populate::yes); }}}}, {"shm_open", {bare}}});
  suite.add(in("access", "ns"), {{"sluice",
                                  {{"",
                                    [] {
                                      auto shared = std::make_shared<Shared<Mebibyte>>();
                                      return add_up([shared] { return &**shared; });
                                    }}}},
                                 {"pointer", {{"", [] {
                                                 auto plain = std::make_shared<Mebibyte>();
                                                 return add_up([plain] { return plain.get(); });
                                               }}}}});
}

}  // namespace sluice::bench
