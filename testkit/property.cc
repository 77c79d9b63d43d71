// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/property.h"

#include <cxxabi.h>
#include <rapidcheck.h>
#include <rapidcheck/shrinkable/Operations.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>
#include <vector>

#include "sluice/testkit/check_options.h"
#include "sluice/testkit/child.h"
#include "sluice/testkit/shared_area.h"

namespace sluice::internal {
namespace {

using std::chrono::steady_clock;
using testkit::CheckOptions;
using namespace std::chrono_literals;

constexpr std::uint32_t kLargestCapacity = 8;
/// No call of these programs waits, so none takes long.
constexpr std::chrono::milliseconds kPatience = 700ms;
constexpr std::chrono::milliseconds kBriefPatience = 200ms;
/// For making a program small.
constexpr std::chrono::seconds kShrinkTime = 3s;

/// From `least` to below `end`, all alike, whatever the size of the program.
template <class T>
rc::Gen<T> any_of(T least, T end) {
  return rc::gen::resize(rc::kNominalSize, rc::gen::inRange(least, end));
}

/// Shrinks to fewer steps, to steps of the first kind, and to small numbers.
rc::Gen<PropertyProgram> programs(std::uint32_t kinds) {
  return rc::gen::build<PropertyProgram>(
      rc::gen::set(&PropertyProgram::capacity, any_of<std::size_t>(1, kLargestCapacity + 1)),
      rc::gen::set(&PropertyProgram::steps,
                   rc::gen::container<std::vector<PropertyStep>>(rc::gen::build<PropertyStep>(
                       rc::gen::set(&PropertyStep::kind, any_of(0U, kinds)),
                       rc::gen::set(&PropertyStep::which, any_of(0U, 4U)),
                       rc::gen::set(&PropertyStep::count, any_of(0U, 6U))))));
}

/// The one program of that seed and number.
rc::Shrinkable<PropertyProgram> program_of(const Property& property, std::uint64_t seed,
                                           std::uint64_t number) {
  const int size = 5 + static_cast<int>(number * 7 % 90);
  return programs(property.kinds)(rc::Random(seed * 1'000'003 + number), size);
}

/// Where a search is, for whoever goes on if its process dies.
struct Search {
  std::atomic<std::uint64_t> number;  ///< of the program that runs
  CodePage page;
};

/// Whatever a run throws is what is wrong.
std::string run(const Property& property, const PropertyProgram& program, CodeLog code) {
  try {
    return property.run(program, code);
  } catch (...) {
    return property.name + " threw: " + text_of(std::current_exception());
  }
}

struct Finding {
  std::uint64_t number = 0;
  std::size_t steps = 0;  ///< of the program that was found
  std::size_t least = 0;  ///< and of the least that is as wrong
  std::string wrong;
};

std::string describe(const Finding& found, const CodePage& page, std::size_t cases,
                     const CheckOptions& options) {
  std::ostringstream text;
  text << found.wrong << "\n{\n"
       << page.text.data() << "}\n(program " << found.number + 1 << " of " << cases << ", seed "
       << options.seed << "; " << found.least << " steps, made of " << found.steps << ")";
  return text.str();
}

/// All in one process, as long as it lives.
std::string search(const Property& property, std::size_t cases, const CheckOptions& options,
                   Search& at) {
  for (at.number = 0; at.number < cases; ++at.number) {
    const auto program = program_of(property, options.seed, at.number);
    if (run(property, program.value(), CodeLog()).empty()) continue;
    const auto goes_wrong = [&](const PropertyProgram& other) {
      return !run(property, other, CodeLog()).empty();
    };
    const PropertyProgram least = rc::shrinkable::findLocalMin(program, goes_wrong).first;
    const std::string wrong = run(property, least, CodeLog(at.page));
    return describe({at.number, program.value().steps.size(), least.steps.size(), wrong}, at.page,
                    cases, options);
  }
  return "";
}

/// After a program has crashed or hung: each in a process of its own.
std::string search_apart(const Property& property, std::size_t cases, const CheckOptions& options,
                         Search& at, const std::string& first) {
  CheckOptions brief = options;
  brief.patience = std::min(options.patience, kBriefPatience);
  const auto end = steady_clock::now() + kShrinkTime;
  const auto goes_wrong = [&](const PropertyProgram& other) {
    if (steady_clock::now() > end) return false;
    const auto body = [&] { return run(property, other, CodeLog()); };
    return !guarded(property.name, brief, body).empty();
  };
  const auto program = program_of(property, options.seed, at.number);
  const PropertyProgram least = rc::shrinkable::findLocalMin(program, goes_wrong).first;
  at.page = {};
  std::string wrong =
      guarded(property.name, brief, [&] { return run(property, least, CodeLog(at.page)); });
  if (wrong.empty()) wrong = first + "; the same calls went well when repeated";
  return describe({at.number, program.value().steps.size(), least.steps.size(), wrong}, at.page,
                  cases, options);
}

}  // namespace

std::string check_property(const Property& property, std::size_t cases,
                           const CheckOptions& options) {
  const testkit::SharedArea<Search> at;
  const testkit::SharedArea<std::atomic<bool>> came_back;
  CheckOptions one_thread = options;
  one_thread.patience = std::min(options.patience, kPatience);
  std::string found = guarded(property.name, one_thread, [&] {
    std::string text = search(property, cases, options, *at);
    *came_back = true;
    return text;
  });
  return *came_back ? found : search_apart(property, cases, options, *at, found);
}

void CodeLog::write(const std::string& line, bool is_final) {
  const std::size_t room = page_->text.size() - 1 - page_->used;
  const std::size_t length = line.copy(page_->text.data() + page_->used, room);
  page_->text[page_->used + length] = '\0';
  if (is_final) page_->used += length;
}

std::string code_of(const std::vector<std::uint64_t>& ids) {
  std::ostringstream out;
  out << '{';
  for (std::size_t i = 0; i < ids.size(); ++i) out << (i == 0 ? "" : ", ") << ItemCode{ids[i]};
  out << '}';
  return out.str();
}

std::string type_name(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), std::free);
  std::string text = status == 0 ? name.get() : type.name();
  for (const auto& [from, to] :
       {std::pair<std::string_view, std::string_view>{"(anonymous namespace)::", ""},
        {"unsigned long", "std::uint64_t"}}) {
    for (std::size_t at = 0; (at = text.find(from)) != std::string::npos;) {
      text.replace(at, from.size(), to);
    }
  }
  return text;
}

}  // namespace sluice::internal
