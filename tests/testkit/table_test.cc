// SPDX-License-Identifier: Apache-2.0
//
// The table of subjects: what a cell says of a check that passes, fails, can't tell, crashes, or
// hangs; and how it is printed.

#include "sluice/testkit/subjects/table.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::Cell;
using testkit::Found;
using testkit::Row;
using testkit::TableRun;
using testkit::Verdict;

Found run(const Cell& cell, std::chrono::milliseconds limit = 60s) {
  Row row{.subject = "a queue", .cells = {cell}};
  row.known["known"] = "it is made so";
  return testkit::run(row, cell, {.seed = 5, .limit = limit});
}

TEST(Table, ACellSaysWhatItsCheckSays) {
  EXPECT_EQ(run({"x", nullptr}).verdict, Verdict::not_applicable);
  EXPECT_EQ(run({"x", [](const TableRun&) { return ""; }}).verdict, Verdict::passes);
  EXPECT_EQ(run({"x", [](const TableRun&) { return "undecided: too long"; }}).verdict,
            Verdict::undecided);
  const Found found =
      run({"x", [](const TableRun& r) { return "lost with seed " + std::to_string(r.seed); }});
  EXPECT_EQ(found.verdict, Verdict::fails);
  EXPECT_EQ(found.why, "lost with seed 5");
  EXPECT_FALSE(found.is_known);
  EXPECT_TRUE(run({"known", [](const TableRun&) { return "lost"; }}).is_known);
}

TEST(Table, ACrashAndAHangAreFindings) {
  const Found crashed = run({"x", [](const TableRun&) -> std::string {
                               raise(SIGSEGV);
                               return "";
                             }});
  EXPECT_EQ(crashed.verdict, Verdict::fails);
  EXPECT_NE(crashed.why.find("signal 11"), std::string::npos) << crashed.why;

  const Found hung = run({"x",
                          [](const TableRun&) -> std::string {
                            for (;;) pause();
                          }},
                         100ms);
  EXPECT_EQ(hung.verdict, Verdict::fails);
  EXPECT_NE(hung.why.find("hung"), std::string::npos) << hung.why;

  const Found threw =
      run({"x", [](const TableRun&) -> std::string { throw std::runtime_error("out of range"); }});
  EXPECT_EQ(threw.verdict, Verdict::fails);
  EXPECT_NE(threw.why.find("out of range"), std::string::npos) << threw.why;
}

TEST(Table, IsPrintedAsMarkdown) {
  std::vector<Row> rows(3);
  rows[0] = {.subject = "A", .cells = {{"order", nullptr}, {"crash", nullptr}}};
  rows[1] = {.subject = "B", .cells = {{"order", nullptr}}, .known = {{"order", "a stack"}}};
  rows[2] = {.subject = "C", .known = {{"order", "a bag"}, {"crash", "mortal"}}};
  std::vector<Found> found(5);
  found[0] = {.subject = "A", .column = "order", .verdict = Verdict::passes};
  found[1] = {.subject = "A", .column = "crash", .verdict = Verdict::not_applicable};
  found[2] = {.subject = "B", .column = "order", .verdict = Verdict::fails, .why = "2, 1\nlong"};
  found[3] = {.subject = "C", .column = "order", .verdict = Verdict::passes};
  found[4] = {.subject = "C", .column = "crash", .verdict = Verdict::not_applicable};
  std::ostringstream out;
  print_markdown(out, rows, found);
  EXPECT_EQ(out.str(),
            "| subject | order | crash |\n"
            "|---|---|---|\n"
            "| A | passes | n/a |\n"
            "| B | fails [1] | not run |\n"
            "| C | may fail [2] | n/a |\n"
            "\n"
            "1. B, order: 2, 1 (a stack)\n"
            "2. C, order: not in this run (a bag)\n");
}

}  // namespace
}  // namespace sluice::tests
