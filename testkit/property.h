// SPDX-License-Identifier: Apache-2.0
//
// Internal: the engine of testkit/queue_properties.h and its neighbours: makes random programs of
// calls, runs them, and if one goes wrong finds the smallest that does, and writes it down as code.
// What a program's steps mean is the property's matter.
//
// Units: steps. Errors: none; a verdict. Threads: as testkit/check_options.h. If a process dies
// here: programs run in processes of their own, and one that crashes or hangs is wrong. Cost: some
// 50 us for a program.

#ifndef SLUICE_TESTKIT_PROPERTY_H_
#define SLUICE_TESTKIT_PROPERTY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ostream>
#include <sstream>
#include <string>
#include <typeinfo>
#include <vector>

#include "sluice/testkit/check_options.h"
#include "sluice/testkit/models.h"

namespace sluice::internal {

/// What it means is for the property to say, for any numbers.
struct PropertyStep {
  std::uint32_t kind = 0;
  std::uint32_t which = 0;
  std::uint32_t count = 0;
};

struct PropertyProgram {
  std::size_t capacity = 1;
  std::vector<PropertyStep> steps;
};

/// Code that a run writes, where another process can read it.
struct CodePage {
  std::array<char, 1 << 15> text{};
  std::size_t used = 0;
};

/// Writes down a run as code. Without a page it writes nothing, and costs nothing.
class CodeLog {
 public:
  CodeLog() = default;
  explicit CodeLog(CodePage& page) : page_(&page) {}

  /// The call that is about to be made; the next line replaces it, if one is reached.
  template <class... Parts>
  void call(const Parts&... parts) {
    if (page_ != nullptr) write(text(parts...) + ";  // does not return\n", false);
  }
  template <class... Parts>
  void line(const Parts&... parts) {
    if (page_ != nullptr) write(text(parts...) + "\n", true);
  }
  /// "EXPECT_TRUE(call);", as it was.
  template <class... Parts>
  void expect(bool given, const Parts&... call) {
    if (page_ != nullptr) line(given ? "EXPECT_TRUE(" : "EXPECT_FALSE(", call..., ");");
  }
  /// As it ought to have been.
  template <class... Parts>
  void expect_other(bool given, const Parts&... call) {
    if (page_ == nullptr) return;
    line(given ? "EXPECT_FALSE(" : "EXPECT_TRUE(", call..., ");  // gave ",
         given ? "true" : "false");
  }

 private:
  template <class... Parts>
  static std::string text(const Parts&... parts) {
    std::ostringstream out;
    out << "  ";
    (out << ... << parts);
    return out.str();
  }
  void write(const std::string& line, bool is_final);

  CodePage* page_ = nullptr;
};

/// An item as code says it: "item(0, 7)".
struct ItemCode {
  std::uint64_t id;
  friend std::ostream& operator<<(std::ostream& out, const ItemCode& item) {
    return out << "item(" << testkit::producer_of(item.id) << ", " << testkit::number_of(item.id)
               << ')';
  }
};

/// "{item(0, 7), item(0, 8)}"
std::string code_of(const std::vector<std::uint64_t>& ids);

/// A type as code says it in its own file: without the namespaces that have no name.
std::string type_name(const std::type_info& type);

struct Property {
  std::string name;
  /// Of PropertyStep::kind.
  std::uint32_t kinds = 1;
  /// Runs a program and returns what is wrong, or an empty string.
  std::function<std::string(const PropertyProgram& program, CodeLog code)> run;
};

/// What is wrong with the first of so many programs that goes wrong, made small, and its code.
std::string check_property(const Property& property, std::size_t cases,
                           const testkit::CheckOptions& options);

/// The property that each `Run(program, code).run(program)` holds, for a type with its kinds of
/// steps. 500 programs, or 10,000 where the profile is full.
template <class Run>
std::string check_runs(const testkit::CheckOptions& options) {
  return check_property({.name = "any sequence of calls",
                         .kinds = Run::kKinds,
                         .run = [](const PropertyProgram& program,
                                   CodeLog code) { return Run(program, code).run(program); }},
                        options.times(500), options);
}

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_PROPERTY_H_
