// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/harness/report.h"

#include <algorithm>
#include <cstdio>
#include <ostream>

#include "sluice/bench/harness/chart.h"

namespace sluice::bench {
namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    // What the system says of itself should hold no control characters; one would break the line.
    out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return out + '"';
}

std::string formatted(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

/// An object of JSON, member by member.
class Object {
 public:
  Object& add(const std::string& name, const std::string& text) {
    return add_raw(name, quoted(text));
  }
  Object& add(const std::string& name, double value) {
    return add_raw(name, formatted("%.6g", value));
  }
  /// A figure of a summary: null if it summarises nothing.
  Object& add(const std::string& name, const Summary& of, double value) {
    return of.runs == 0 ? add_raw(name, "null") : add(name, value);
  }
  Object& add_raw(const std::string& name, const std::string& json) {
    if (!members_.empty()) members_ += ", ";
    members_ += quoted(name) + ": " + json;
    return *this;
  }
  [[nodiscard]] std::string str() const { return "{" + members_ + "}"; }

 private:
  std::string members_;
};

std::string json_of(const Row& row, const std::string& conditions, const std::string& ours) {
  Object variants;
  for (const auto& [name, median] : row.variants) variants.add(name, median);
  Object object;
  object.add("group", row.group).add("case", row.name).add("subject", row.subject);
  object.add("unit", row.unit).add("better", row.better == Better::higher ? "higher" : "lower");
  const Summary& value = row.value;
  object.add("median", value, value.median).add("min", value, value.min);
  object.add("max", value, value.max).add_raw("runs", std::to_string(value.runs));
  object.add("q1", value, value.q1).add("q3", value, value.q3);
  object.add_raw("dropped", std::to_string(row.dropped));
  const Summary& ratio = row.ratio;
  object.add("yardstick", row.yardstick).add("ratio", ratio, ratio.median);
  object.add("ratio_q1", ratio, ratio.q1).add("ratio_q3", ratio, ratio.q3);
  if (row.sluice_is) object.add(ours + "_is", *row.sluice_is);
  object.add("variant", row.variant).add_raw("variants", variants.str());
  object.add_raw("conditions", conditions);
  return object.str();
}

std::string cell(const Row& row) {
  const Summary& value = row.value;
  if (value.runs == 0) return "all dropped";
  return short_number(value.median) + " (" + short_number(value.q1) + "-" + short_number(value.q3) +
         ")" + (row.sluice_is ? " [" + short_number(*row.sluice_is) + "]" : "");
}

/// Kept repetitions of all, over all subjects of a case.
std::string kept_of(std::span<const Row* const> rows) {
  std::size_t kept = 0;
  std::size_t dropped = 0;
  for (const Row* row : rows) {
    // A row that only shows the yardstick of the others.
    if (row->ratio.runs == 0 && row->subject == "limit") continue;
    kept += row->value.runs;
    dropped += row->dropped;
  }
  return std::to_string(kept) + "/" + std::to_string(kept + dropped);
}

using Line = std::vector<std::string>;

void print_lines(std::ostream& out, const std::vector<Line>& lines) {
  std::vector<std::size_t> widths(lines.front().size());
  for (const Line& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  for (const Line& line : lines) {
    std::string text;
    for (std::size_t i = 0; i < line.size(); ++i) {
      text += line[i] + std::string(widths[i] - line[i].size() + 2, ' ');
    }
    out << text.substr(0, text.find_last_not_of(' ') + 1) << '\n';
  }
}

/// The distinct values of a member, in the order of their first appearance.
std::vector<std::string> distinct(std::span<const Row> rows, std::string Row::* member) {
  std::vector<std::string> names;
  for (const Row& row : rows) {
    if (std::find(names.begin(), names.end(), row.*member) == names.end()) {
      names.push_back(row.*member);
    }
  }
  return names;
}

Line line_of(const std::string& name, std::span<const Row> rows,
             const std::vector<std::string>& subjects) {
  Line line = {name, ""};
  std::vector<const Row*> found;
  for (const std::string& subject : subjects) {
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const Row& r) {
      return r.name == name && r.subject == subject;
    });
    line.push_back(row == rows.end() ? "" : cell(*row));
    if (row == rows.end()) continue;
    line[1] = row->unit;
    found.push_back(&*row);
  }
  line.push_back(kept_of(found));
  return line;
}

void print_group(std::ostream& out, std::span<const Row> rows) {
  const std::vector<std::string> subjects = distinct(rows, &Row::subject);
  std::vector<Line> lines = {{"case", "unit"}};
  lines[0].insert(lines[0].end(), subjects.begin(), subjects.end());
  lines[0].emplace_back("kept");
  for (const std::string& name : distinct(rows, &Row::name)) {
    lines.push_back(line_of(name, rows, subjects));
  }
  print_lines(out, lines);
  out << '\n';
}

}  // namespace

void write_json(std::ostream& out, std::span<const Row> rows, const Conditions& conditions,
                const std::string& ours) {
  Object shared;
  for (const auto& [name, value] : conditions) shared.add(name, value);
  out << "[";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    out << (i == 0 ? "\n" : ",\n") << json_of(rows[i], shared.str(), ours);
  }
  out << "\n]\n";
}

void print_table(std::ostream& out, std::span<const Row> rows, const Conditions& conditions,
                 const std::string& ours) {
  for (std::size_t first = 0; first < rows.size();) {
    std::size_t last = first;
    while (last < rows.size() && rows[last].group == rows[first].group) ++last;
    print_group(out, rows.subspan(first, last - first));
    first = last;
  }
  out << "median (quartiles) of the repetitions that were kept\n"
         "[x]: "
      << ours
      << " is x times as good, in repetitions that met the same machine\n"
         "limit: the yardstick in the same repetitions\n\n";
  for (const auto& [name, value] : conditions) out << name << ": " << value << '\n';
}

}  // namespace sluice::bench
