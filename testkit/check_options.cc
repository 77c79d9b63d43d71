// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/check_options.h"

#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "sluice/testkit/child.h"
#include "sluice/testkit/shared_area.h"

namespace sluice::testkit {
namespace {

std::string_view variable(const char* name) {
  const char* const text = std::getenv(name);
  return text == nullptr ? "" : text;
}

}  // namespace

CheckOptions CheckOptions::from_environment() {
  CheckOptions options;
  const std::string_view profile = variable("SLUICE_TESTKIT_PROFILE");
  if (profile == "full") {
    options.profile = CheckProfile::full;
  } else if (!profile.empty() && profile != "quick") {
    throw std::invalid_argument("SLUICE_TESTKIT_PROFILE is neither quick nor full");
  }
  if (const std::string_view seed = variable("SLUICE_TEST_SEED"); !seed.empty()) {
    const auto [end, error] = std::from_chars(seed.begin(), seed.end(), options.seed);
    if (error != std::errc() || end != seed.end()) {
      throw std::invalid_argument("SLUICE_TEST_SEED is no number");
    }
  }
  return options;
}

}  // namespace sluice::testkit

namespace sluice::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// What a check's process says while it lives.
struct Calls {
  std::atomic<std::uint64_t> count{0};
  /// A literal, which lies in the parent at the same place.
  std::atomic<const char*> next{nullptr};
};

/// An Answer has room for a sentence; a check has a page to say.
struct Page {
  Answer answer;
  Calls calls;
  std::array<char, 1 << 16> text;
};

Calls* noted = nullptr;

/// What hangs, once it has done so for so long; or an empty string, and the child has ended.
std::string watch(const std::string& name, const Child& child, const Page& page,
                  const testkit::CheckOptions& options) {
  const milliseconds longest = 3 * options.patience;
  const auto end = steady_clock::now() + options.limit;
  auto last = steady_clock::now();
  for (std::uint64_t before = 0; !child.wait_for_end(milliseconds(100));) {
    const std::uint64_t now = page.calls.count;
    // Once it has said what it has to say, it is about to end, whatever sanitizers do meanwhile.
    const bool said = page.answer.verdict != Answer::Verdict::none;
    if (now != before || now == 0 || said) last = steady_clock::now();
    before = now;
    if (steady_clock::now() - last > longest) {
      return name + " hangs: " + page.calls.next.load() + " does not come back, " +
             std::to_string(longest.count()) + " ms";
    }
    if (steady_clock::now() > end) {
      return name + " hangs: not ready after " + std::to_string(options.limit.count()) + " ms";
    }
  }
  return "";
}

}  // namespace

void note_call(const char* next) noexcept {
  if (noted == nullptr) return;
  noted->next = next;
  ++noted->count;
}

std::string guarded(const std::string& name, const testkit::CheckOptions& options,
                    const std::function<std::string()>& check) {
  const auto body = [&] {
    try {
      return check();
    } catch (...) {
      return name + " threw: " + text_of(std::current_exception());
    }
  };
  if (!options.in_child) return body();
  const testkit::SharedArea<Page> page;
  const auto write = [&] {
    noted = &page->calls;
    std::string wrong = body();
    page->text[wrong.copy(page->text.data(), page->text.size() - 1)] = '\0';
    return wrong;
  };
  Child child([&] { give_answer(name, write, page->answer); });
  if (std::string hangs = watch(name, child, *page, options); !hangs.empty()) return hangs;
  const std::string wrong = take_answer(name, child, milliseconds(0), page->answer);
  const std::string text = page->text.data();
  return wrong.empty() || text.empty() ? wrong : text;
}

}  // namespace sluice::internal
