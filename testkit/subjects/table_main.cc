// SPDX-License-Identifier: Apache-2.0
//
// bazel run //testkit/subjects:table: runs the kit over all subjects, and prints the table of what
// each passes and fails. Also for the run without false alarms: each cell that is not known to
// fail, with the quick profile, once for each of N seeds; it fails with the first alarm.
//
//   table [--seeds=N] [--first_seed=S] [--limit=SECONDS] [--only=SUBJECT] [--column=COLUMN]
//   [--quick]

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/testkit/subjects/rows.h"
#include "sluice/testkit/subjects/table.h"

namespace {

using sluice::testkit::Cell;
using sluice::testkit::Found;
using sluice::testkit::Row;
using sluice::testkit::TableRun;
using sluice::testkit::Verdict;

struct Wishes {
  TableRun run;
  std::uint64_t seeds = 0;  ///< 0: the table
  std::string subject, column;
};

/// The rest of an argument that begins so.
bool takes(std::string_view argument, std::string_view name, std::string& rest) {
  if (!argument.starts_with(name)) return false;
  rest = argument.substr(name.size());
  return true;
}

Wishes read(int argc, char** argv) {
  Wishes wishes;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    std::string rest;
    if (takes(argument, "--seeds=", rest)) {
      wishes.seeds = std::stoull(rest);
    } else if (takes(argument, "--first_seed=", rest)) {
      wishes.run.seed = std::stoull(rest);
    } else if (takes(argument, "--limit=", rest)) {
      wishes.run.limit = std::chrono::seconds(std::stoul(rest));
    } else if (takes(argument, "--only=", rest)) {
      wishes.subject = rest;
    } else if (takes(argument, "--column=", rest)) {
      wishes.column = rest;
    } else if (argument == "--quick") {
      wishes.run.quick = true;
    } else {
      throw std::invalid_argument("table: what is " + std::string(argument) + "?");
    }
  }
  return wishes;
}

std::vector<Row> all_rows(const Wishes& wishes) {
  namespace testkit = sluice::testkit;
  std::vector<Row> rows;
  for (const auto& family : {testkit::lockfree_rows, testkit::ipc_rows, testkit::boost_rows,
                             testkit::moodycamel_rows, testkit::std_rows}) {
    std::vector<Row> some = family();
    std::move(some.begin(), some.end(), std::back_inserter(rows));
  }
  if (!wishes.subject.empty()) {
    std::erase_if(rows, [&](const Row& row) {
      return row.subject.find(wishes.subject) == std::string::npos;
    });
  }
  if (!wishes.column.empty()) {
    for (Row& row : rows) {
      std::erase_if(row.cells, [&](const Cell& cell) { return cell.column != wishes.column; });
    }
  }
  return rows;
}

int print_table(const Wishes& wishes, const std::vector<Row>& rows) {
  std::vector<Found> found;
  for (const Row& row : rows) {
    for (const Cell& cell : row.cells) {
      found.push_back(run(row, cell, wishes.run));
      std::cerr << found.back() << '\n';
    }
  }
  print_markdown(std::cout, rows, found);
  return EXIT_SUCCESS;
}

int look_for_alarms(Wishes wishes, const std::vector<Row>& rows) {
  std::uint64_t passed = 0;
  std::uint64_t undecided = 0;
  std::uint64_t alarms = 0;
  wishes.run.quick = true;
  for (std::uint64_t i = 0; i < wishes.seeds; ++i, ++wishes.run.seed) {
    for (const Row& row : rows) {
      for (const Cell& cell : row.cells) {
        if (!cell.check || row.known.contains(cell.column)) continue;
        const Found found = run(row, cell, wishes.run);
        passed += found.verdict == Verdict::passes ? 1 : 0;
        undecided += found.verdict == Verdict::undecided ? 1 : 0;
        if (found.verdict != Verdict::fails) continue;
        ++alarms;
        std::cout << "seed " << wishes.run.seed << ": " << found << '\n' << std::flush;
      }
    }
  }
  std::cout << wishes.seeds << " seeds: " << passed << " passed, " << undecided << " undecided, "
            << alarms << " alarms\n";
  return alarms == 0 && passed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) try {
  const Wishes wishes = read(argc, argv);
  const std::vector<Row> rows = all_rows(wishes);
  return wishes.seeds == 0 ? print_table(wishes, rows) : look_for_alarms(wishes, rows);
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return EXIT_FAILURE;
}
