// SPDX-License-Identifier: Apache-2.0
//
// Charts as SVG, which stand alone and look right on light and on dark ground.
//
//   LineChart chart{.title = "One way", .x_label = "bytes per message", .y_label = "Mmsg/s"};
//   chart.lines = {{"sluice", Rank::ours, {{8, 100, 90, 110}, {64, 50, 45, 52}}}};
//   file << svg_of(chart);
//
// Both axes are logarithmic, for what is compared here differs by factors. What is ours is drawn
// strongest, the limit is dashed; names stand at the lines' ends.
//
// Errors: what is not positive can't be drawn, and is left out. Threads, processes, death: text.

#ifndef SLUICE_BENCH_HARNESS_CHART_H_
#define SLUICE_BENCH_HARNESS_CHART_H_

#include <cstdint>
#include <string>
#include <vector>

namespace sluice::bench {

enum class Rank : std::uint8_t { ours, rival, limit };

struct Point {
  double x = 0, y = 0;
  double low = 0, high = 0;  ///< the spread of y
};

struct Line {
  std::string name;
  Rank rank = Rank::rival;
  std::vector<Point> points;
};

struct LineChart {
  std::string title, x_label, y_label;
  std::vector<Line> lines;
  /// Instead of numbers at each x.
  std::vector<std::string> x_names = {};
};

struct Dot {
  std::string name;
  Rank rank = Rank::rival;
  double value = 0, low = 0, high = 0;
};

struct DotChart {
  std::string title, unit;
  std::vector<Dot> dots;
};

[[nodiscard]] std::string svg_of(const LineChart& chart);
[[nodiscard]] std::string svg_of(const DotChart& chart);

/// `text` with what HTML and XML would take for themselves written out.
[[nodiscard]] std::string escaped(const std::string& text);

/// Three digits, or all before the point.
[[nodiscard]] std::string short_number(double value);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_CHART_H_
