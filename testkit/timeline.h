// SPDX-License-Identifier: Apache-2.0
//
// Timeline: calls of several parties, drawn as a page of HTML with an SVG in it: one lane for each
// party, a bar from each call to its return. Not a profiler's: time is not to scale, but stretched
// where something happens, so that each label can be read. For up to about 40 calls.
//
//   Timeline timeline{.title = "my queue", .sentence = "1:4 overtook 1:3.", .lanes = {"a", "b"}};
//   timeline.bars.push_back({.lane = 0, .label = "push(1:3)", .from = 10, .to = 20});
//   save_picture(timeline_html(timeline), "my_queue");     // my_queue.html
//
// Culprits are framed and stand on a red ground. Bars with a place carry its number, the smallest
// being 1, at a point in time that respects the order. A bar without an end is open to the right.
// The page needs no script, no network and no font of its own; its tooltips are the SVG's titles.
//
// Units: times are nanoseconds of one clock. Errors: std::system_error if a file can't be written.
// Threads: plain values. If a process dies here: a half-written file may stay. Cost: some KiB.

#ifndef SLUICE_TESTKIT_TIMELINE_H_
#define SLUICE_TESTKIT_TIMELINE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sluice/testkit/timed_call.h"

namespace sluice::testkit {

/// One call, as it is drawn.
struct Bar {
  /// What a call did; each kind has a tint of its own. A refusal is an "empty" or a "full".
  enum class Kind : std::uint8_t { push, pop, refusal, other };

  std::size_t lane = 0;      ///< an index into Timeline::lanes, which must have it
  std::string label;         ///< stands in the bar, which is as wide as it takes
  Kind kind = Kind::push;    ///< chooses the tint
  std::int64_t from = 0;     ///< when it was called
  std::int64_t to = kNever;  ///< when it returned; kNever: the bar is open to the right
  bool is_culprit = false;   ///< shows the fault: framed, on a red ground
  /// Its place in an order of the calls.
  std::optional<std::size_t> place = {};
};

/// What is drawn, and the words with it.
struct Timeline {
  std::string title;               ///< of the page
  std::string sentence;            ///< what the picture shows; on the page, above it
  std::vector<std::string> lanes;  ///< the parties' names, from the top down
  std::vector<Bar> bars = {};      ///< in any order; those of a lane one after another
  /// Where the page draws a line: here it was certain.
  std::int64_t certain_at = kNever;
  /// Calls that are not drawn; the page says how many.
  std::size_t hidden = 0;
};

/// The drawing alone, with its styles: without title, sentence and legend.
[[nodiscard]] std::string timeline_svg(const Timeline& timeline);
/// The page: title, sentence, drawing, legend; for save_picture().
[[nodiscard]] std::string timeline_html(const Timeline& timeline);

/// Writes it to `name`.html in the directory, or, without one, to where Bazel collects what tests
/// leave behind (TEST_UNDECLARED_OUTPUTS_DIR), or to the current one. Returns the path. What a file
/// name can't hold becomes '_'.
std::string save_picture(const std::string& html, const std::string& name,
                         const std::string& directory = "");

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_TIMELINE_H_
