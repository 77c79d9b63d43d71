// SPDX-License-Identifier: Apache-2.0
//
// The table of what each subject passes and fails, as docs/testing.md has it: rows of subjects,
// columns of checks, each cell run in a process of its own with a limit, so that one that crashes
// or hangs is a finding, and the others are run.
//
//   Row row{.subject = "MyQueue"};
//   row.cells.push_back({"order", [](const TableRun& run) { return check_order<...>(...); }});
//   const std::vector<Found> found = fill_in({row}, {.limit = 60s});
//   print_markdown(std::cout, {row}, found);
//
// Units: as given. Errors: std::system_error if the machine gives no process. Threads: the caller
// has none. If a process dies here: the processes of the cells die with it. Cost: that of the
// checks.

#ifndef SLUICE_TESTKIT_SUBJECTS_TABLE_H_
#define SLUICE_TESTKIT_SUBJECTS_TABLE_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::testkit {

/// How thorough a cell is to be, and its seed.
struct TableRun {
  std::uint64_t seed = 1;
  bool quick = false;
  std::chrono::milliseconds limit{240'000};
};

/// A text that begins so is neither "passes" nor "fails".
inline constexpr std::string_view kUndecided = "undecided";

struct Cell {
  std::string column;
  /// What is wrong, or an empty string. Without it the check does not apply.
  std::function<std::string(const TableRun&)> check;
};

struct Row {
  std::string subject;
  std::vector<Cell> cells = {};
  /// What it is known to fail, by column, and why that is so.
  std::map<std::string, std::string> known = {};
};

enum class Verdict : std::uint8_t { passes, fails, undecided, not_applicable };

std::ostream& operator<<(std::ostream& out, Verdict verdict);

/// How a cell came out.
struct Found {
  std::string subject = {}, column = {};
  Verdict verdict = Verdict::not_applicable;
  std::string why = {};
  std::chrono::milliseconds time = {};
  /// It fails, as is known.
  bool is_known = false;
};

/// One line: the subject, the column, the verdict, the time, why.
std::ostream& operator<<(std::ostream& out, const Found& found);

/// Runs one cell, in a process of its own.
[[nodiscard]] Found run(const Row& row, const Cell& cell, const TableRun& run);

/// The table, and below it why something fails, at length. What is known to fail, and did not this
/// time, "may fail".
void print_markdown(std::ostream& out, const std::vector<Row>& rows,
                    const std::vector<Found>& found);

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_SUBJECTS_TABLE_H_
