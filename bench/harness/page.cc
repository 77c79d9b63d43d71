// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/harness/page.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <optional>
#include <ostream>
#include <regex>
#include <utility>

#include "sluice/bench/harness/chart.h"

namespace sluice::bench {
namespace {

/// How a case's name places it in a chart.
struct Place {
  enum class Kind { size, sides, percentile, alone };

  Kind kind = Kind::alone;
  std::string chart;  ///< the name without what tells its points apart
  double x = 0;
};

struct Percentile {
  const char* suffix;
  const char* name;
  double one_in;
};
constexpr std::array kPercentiles = {
    Percentile{"/p50", "50 %", 2}, Percentile{"/p90", "90 %", 10}, Percentile{"/p99", "99 %", 100},
    Percentile{"/p99.9", "99.9 %", 1000}, Percentile{"/p99.99", "99.99 %", 10000}};

Place place_of(const std::string& name) {
  for (const Percentile& p : kPercentiles) {
    if (name.ends_with(p.suffix)) {
      const std::string chart = name.substr(0, name.size() - std::string(p.suffix).size());
      return {Place::Kind::percentile, chart, p.one_in};
    }
  }
  static const std::regex kSides("(.*/)([0-9]+)x([0-9]+)(/.*)");
  static const std::regex kSize("(.*)/([0-9]+)");
  std::smatch found;
  if (std::regex_match(name, found, kSides) && found[2] == found[3]) {
    return {Place::Kind::sides, found[1].str() + "NxN" + found[4].str(),
            std::strtod(found[2].str().c_str(), nullptr)};
  }
  if (std::regex_match(name, found, kSize)) {
    return {Place::Kind::size, found[1].str(), std::strtod(found[2].str().c_str(), nullptr)};
  }
  return {Place::Kind::alone, name, 0};
}

Rank rank_of(const std::string& subject, const std::string& ours) {
  if (subject == ours) return Rank::ours;
  return subject == "limit" ? Rank::limit : Rank::rival;
}

/// The rows of one chart, in the order in which they came.
struct Chart {
  Place place;
  std::vector<std::pair<double, const Row*>> rows;

  [[nodiscard]] std::size_t points() const {
    std::vector<double> xs;
    for (const auto& [x, row] : rows) xs.push_back(x);
    std::ranges::sort(xs);
    return static_cast<std::size_t>(std::unique(xs.begin(), xs.end()) - xs.begin());
  }
};

/// Two points are no line.
constexpr std::size_t kLeastPoints = 3;

std::vector<Chart> charts_of(std::span<const Row> rows) {
  std::vector<Chart> lines;
  std::vector<Chart> dots;
  const auto add = [](std::vector<Chart>& charts, const Place& place, const Row& row) {
    auto chart = std::ranges::find_if(charts, [&](const Chart& c) {
      return c.place.kind == place.kind && c.place.chart == place.chart;
    });
    if (chart == charts.end()) chart = charts.insert(chart, {place, {}});
    chart->rows.emplace_back(place.x, &row);
  };
  for (const Row& row : rows) add(lines, place_of(row.name), row);
  std::vector<Chart> charts;
  for (Chart& chart : lines) {
    if (chart.place.kind != Place::Kind::alone && chart.points() >= kLeastPoints) {
      charts.push_back(std::move(chart));
      continue;
    }
    for (const auto& [x, row] : chart.rows) add(dots, {Place::Kind::alone, row->name, 0}, *row);
  }
  charts.insert(charts.end(), dots.begin(), dots.end());
  return charts;
}

const char* better_of(const Row& row) {
  return row.better == Better::higher ? ", more is better" : ", less is better";
}

std::string lines_svg(const Chart& chart, const std::string& ours) {
  LineChart drawn{.title = chart.place.chart, .x_label = "", .y_label = "", .lines = {}};
  const Row& first = *chart.rows.front().second;
  drawn.y_label = first.unit + better_of(first);
  switch (chart.place.kind) {
    case Place::Kind::percentile:
      drawn.x_label = "so many of all trips take no longer";
      for (const Percentile& p : kPercentiles) drawn.x_names.emplace_back(p.name);
      break;
    case Place::Kind::sides:
      drawn.x_label = "so many producers, and as many consumers";
      break;
    default:
      drawn.x_label = "bytes";
  }
  for (const auto& [x, row] : chart.rows) {
    auto line = std::ranges::find(drawn.lines, row->subject, &Line::name);
    if (line == drawn.lines.end()) {
      line = drawn.lines.insert(line, {row->subject, rank_of(row->subject, ours), {}});
    }
    if (row->value.runs != 0) {
      line->points.push_back({x, row->value.median, row->value.q1, row->value.q3});
    }
  }
  for (Line& line : drawn.lines) std::ranges::sort(line.points, {}, &Point::x);
  std::erase_if(drawn.lines, [](const Line& line) { return line.points.empty(); });
  return svg_of(drawn);
}

std::string dots_svg(const Chart& chart, const std::string& ours) {
  const Row& first = *chart.rows.front().second;
  DotChart drawn{.title = chart.place.chart, .unit = first.unit + better_of(first), .dots = {}};
  for (const auto& [x, row] : chart.rows) {
    const Summary& value = row->value;
    const bool known = value.runs != 0;
    drawn.dots.push_back({row->subject, rank_of(row->subject, ours), known ? value.median : 0,
                          known ? value.q1 : 0, known ? value.q3 : 0});
  }
  return svg_of(drawn);
}

std::string file_name_of(const Chart& chart) {
  std::string name = chart.place.chart;
  std::ranges::replace(name, '/', '-');
  if (chart.place.kind == Place::Kind::percentile) name += "-distribution";
  return name;
}

constexpr const char* kHead = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Measured side by side</title>
<style>
:root { color-scheme: light dark; --ink: #222; --faint: #ccc; --ground: #fff; --ours: #d1242f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --faint: #444; --ground: #16181c; --ours: #ff6b6b; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  max-width: 1360px; margin: 0 auto; padding: 1rem; }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); }
.charts svg { width: 100%; height: auto; border: 1px solid var(--faint); border-radius: 6px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--faint); text-align: right; white-space: nowrap; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
.us { color: var(--ours); font-weight: 600; }
@media print { body { max-width: none; } .charts { grid-template-columns: 1fr 1fr; }
  .charts svg, tr { break-inside: avoid; } }
</style></head><body>
<h1>Measured side by side</h1>
<p>Medians of repetitions that were interleaved in one run; rules and ranges are quartiles. Both axes are
logarithmic. The subject in <span class="us">this colour</span> is the one that the others are compared with; <em>limit</em> is what the machine itself
does in the same repetitions. docs/benchmarking.md says how to read and distrust this.</p>
)";

/// The distinct values of a member, in the order of their first appearance.
std::vector<std::string> distinct(std::span<const Row> rows, std::string Row::* member) {
  std::vector<std::string> names;
  for (const Row& row : rows) {
    if (std::ranges::find(names, row.*member) == names.end()) names.push_back(row.*member);
  }
  return names;
}

void write_figures(std::ostream& out, std::span<const Row> rows, const std::string& ours) {
  const std::vector<std::string> subjects = distinct(rows, &Row::subject);
  out << "<div class=\"scroll\"><table><tr><th>case</th><th>unit</th>";
  for (const std::string& subject : subjects) out << "<th>" << escaped(subject) << "</th>";
  out << "</tr>\n";
  for (const std::string& name : distinct(rows, &Row::name)) {
    std::map<std::string, const Row*> of;
    for (const Row& row : rows) {
      if (row.name == name) of[row.subject] = &row;
    }
    out << "<tr><td>" << escaped(name) << "</td><td>" << escaped(of.begin()->second->unit)
        << "</td>";
    for (const std::string& subject : subjects) {
      const auto found = of.find(subject);
      out << (subject == ours ? "<td class=\"us\">" : "<td>");
      if (found != of.end() && found->second->value.runs != 0) {
        const Summary& value = found->second->value;
        out << short_number(value.median) << " (" << short_number(value.q1) << "–"
            << short_number(value.q3) << ")";
      }
      out << "</td>";
    }
    out << "</tr>\n";
  }
  out << "</table></div>\n";
}

std::vector<Row> rows_of(std::span<const Row> rows, const std::string& group) {
  std::vector<Row> chosen;
  std::ranges::copy_if(rows, std::back_inserter(chosen),
                       [&](const Row& row) { return row.group == group; });
  return chosen;
}

}  // namespace

std::vector<Picture> pictures_of(std::span<const Row> rows, const std::string& ours) {
  std::vector<Picture> pictures;
  for (const Chart& chart : charts_of(rows)) {
    const bool is_lines = chart.rows.size() > 1 && chart.place.kind != Place::Kind::alone;
    pictures.push_back({chart.rows.front().second->group, file_name_of(chart),
                        is_lines ? lines_svg(chart, ours) : dots_svg(chart, ours)});
  }
  return pictures;
}

void write_page(std::ostream& out, std::span<const Row> rows, const Conditions& conditions,
                const std::string& ours) {
  out << kHead;
  const std::vector<Picture> pictures = pictures_of(rows, ours);
  for (const std::string& group : distinct(rows, &Row::group)) {
    out << "<h2 id=\"" << escaped(group) << "\">" << escaped(group)
        << "</h2>\n<div class=\"charts\">\n";
    for (const Picture& picture : pictures) {
      if (picture.group == group) out << picture.svg;
    }
    out << "</div>\n";
    write_figures(out, rows_of(rows, group), ours);
  }
  out << "<h2>Conditions</h2>\n<div class=\"scroll\"><table>\n";
  for (const auto& [name, value] : conditions) {
    out << "<tr><td>" << escaped(name) << "</td><td>" << escaped(value) << "</td></tr>\n";
  }
  out << "</table></div>\n</body></html>\n";
}

}  // namespace sluice::bench
