// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/subjects/table.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/testkit/child.h"
#include "sluice/testkit/shared_area.h"

namespace sluice::testkit {

namespace {

/// The columns, in the order of the first row that has them all.
std::vector<std::string> columns_of(const std::vector<Row>& rows) {
  std::vector<std::string> columns;
  for (const Row& row : rows) {
    for (const Cell& cell : row.cells) {
      if (std::ranges::find(columns, cell.column) == columns.end()) columns.push_back(cell.column);
    }
  }
  return columns;
}

const Found* find(const std::vector<Found>& found, const std::string& subject,
                  const std::string& column) {
  const auto at = std::ranges::find_if(
      found, [&](const Found& f) { return f.subject == subject && f.column == column; });
  return at == found.end() ? nullptr : &*at;
}

Verdict verdict_of(const std::string& why) {
  if (why.empty()) return Verdict::passes;
  return why.starts_with(kUndecided) ? Verdict::undecided : Verdict::fails;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

std::ostream& operator<<(std::ostream& out, Verdict verdict) {
  constexpr const char* kNames[] = {"passes", "fails", "undecided", "n/a"};
  return out << kNames[static_cast<std::size_t>(verdict)];
}

std::ostream& operator<<(std::ostream& out, const Found& found) {
  out << found.subject << ", " << found.column << ": " << found.verdict;
  if (found.is_known) out << ", as is known";
  out << " (" << found.time.count() << " ms)";
  return found.why.empty() ? out : out << ": " << found.why;
}

Found run(const Row& row, const Cell& cell, const TableRun& run) {
  Found found{.subject = row.subject, .column = cell.column};
  if (!cell.check) return found;
  const SharedArea<internal::Answer> answer;
  const auto begin = std::chrono::steady_clock::now();
  // What the check prints is not the table.
  std::cout.flush();
  found.why = internal::ask("it", [&] { return cell.check(run); }, run.limit, *answer);
  found.time = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - begin);
  found.verdict = verdict_of(found.why);
  found.is_known = found.verdict == Verdict::fails && row.known.contains(cell.column);
  return found;
}

void print_markdown(std::ostream& out, const std::vector<Row>& rows,
                    const std::vector<Found>& found) {
  const std::vector<std::string> columns = columns_of(rows);
  out << "| subject |";
  for (const std::string& column : columns) out << ' ' << column << " |";
  out << "\n|---|";
  for (std::size_t i = 0; i < columns.size(); ++i) out << "---|";
  out << '\n';
  std::vector<std::string> notes;
  for (const Row& row : rows) {
    out << "| " << row.subject << " |";
    for (const std::string& column : columns) {
      const Found* const cell = find(found, row.subject, column);
      out << ' ';
      if (cell == nullptr) {
        out << "not run |";
        continue;
      }
      const auto known = row.known.find(column);
      const bool is_lucky = known != row.known.end() && cell->verdict == Verdict::passes;
      is_lucky ? out << "may fail" : out << cell->verdict;
      if (is_lucky || !cell->why.empty()) {
        notes.push_back(row.subject + ", " + column + ": " +
                        (is_lucky ? "not in this run" : first_line(cell->why)) +
                        (known == row.known.end() ? "" : " (" + known->second + ")"));
        out << " [" << notes.size() << ']';
      }
      out << " |";
    }
    out << '\n';
  }
  out << '\n';
  for (std::size_t i = 0; i < notes.size(); ++i) out << i + 1 << ". " << notes[i] << '\n';
}

}  // namespace sluice::testkit
