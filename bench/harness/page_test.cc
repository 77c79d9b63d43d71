// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/harness/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <sstream>
#include <string>
#include <vector>

#include "sluice/bench/harness/chart.h"
#include "sluice/bench/harness/report.h"
#include "sluice/bench/harness/stats.h"
#include "sluice/bench/harness/subject.h"

namespace sluice::bench {
namespace {

using testing::HasSubstr;
using testing::Not;

Row row(const std::string& name, const std::string& subject, double value) {
  Row row;
  row.group = name.substr(0, name.find('/'));
  row.name = name;
  row.subject = subject;
  row.unit = "ns";
  row.value = value > 0 ? summarize({value, value * 1.1, value * 1.2}) : Summary{};
  return row;
}

std::vector<std::string> names_of(const std::vector<Picture>& pictures) {
  std::vector<std::string> names;
  for (const Picture& picture : pictures) names.push_back(picture.name);
  return names;
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

TEST(Page, CasesBecomeChartsByTheirNames) {
  std::vector<Row> rows;
  for (const char* size : {"8", "64", "1024"}) {
    for (const char* subject : {"sluice", "pipe", "limit"}) {
      rows.push_back(row(std::string("pipe/oneway/") + size, subject, 10));
    }
  }
  for (const char* sides : {"1x1", "2x2", "16x16"}) {
    rows.push_back(row(std::string("mpmc/") + sides + "/8", "sluice", 5));
  }
  for (const char* tail : {"", "/p50", "/p90", "/p99"}) {
    rows.push_back(row(std::string("pipe/rtt/8") + tail, "sluice", 7));
  }
  rows.push_back(row("mutex/uncontended", "sluice", 3));
  rows.push_back(row("mutex/uncontended", "pthread", 4));
  EXPECT_THAT(names_of(pictures_of(rows)),
              testing::UnorderedElementsAre("pipe-oneway", "mpmc-NxN-8", "pipe-rtt-8-distribution",
                                            "pipe-rtt-8", "mutex-uncontended"));
}

TEST(Page, EachSubjectHasItsLineAndItsName) {
  std::vector<Row> rows;
  for (const char* size : {"8", "64", "1024"}) {
    for (const char* subject : {"sluice", "pipe", "limit", "a<b"}) {
      rows.push_back(row(std::string("pipe/oneway/") + size, subject, 10));
    }
  }
  const std::string svg = pictures_of(rows).at(0).svg;
  EXPECT_EQ(count(svg, "<path "), 4U);
  EXPECT_EQ(count(svg, "class=\"line ours\""), 1U);
  EXPECT_EQ(count(svg, "class=\"line limit\""), 1U);
  EXPECT_THAT(svg, HasSubstr(">pipe</text>"));
  EXPECT_THAT(svg, HasSubstr(">a&lt;b</text>"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(Page, WhatIsNotKnownIsSaidAndNotDrawn) {
  const std::vector<Row> rows = {row("mutex/uncontended", "sluice", 3),
                                 row("mutex/uncontended", "pthread", 0)};
  const std::string svg = pictures_of(rows).at(0).svg;
  EXPECT_EQ(count(svg, "<circle "), 1U);
  EXPECT_THAT(svg, HasSubstr(">not known</text>"));
}

TEST(Page, MoreIsDrawnHigher) {
  const auto end_of = [](double last) {  // counted from the top, as SVG does
    const LineChart chart{.title = "t",
                          .x_label = "x",
                          .y_label = "y",
                          .lines = {{"a", Rank::ours, {{1, 10}, {2, last}}}}};
    const std::string svg = svg_of(chart);
    const std::size_t at = svg.find("L", svg.find(" d=\"M"));
    double x = 0;
    double y = 0;
    std::istringstream(svg.substr(at + 1)) >> x >> y;
    return y;
  };
  EXPECT_LT(end_of(100), end_of(10));
}

TEST(Page, HasAllFiguresAndNeedsNothingElse) {
  const std::vector<Row> rows = {row("mutex/uncontended", "sluice", 3),
                                 row("mutex/uncontended", "pthread", 40)};
  std::ostringstream out;
  write_page(out, rows, {{"cpu", "a <fast> one"}});
  const std::string page = out.str();
  EXPECT_THAT(page, HasSubstr("<td class=\"us\">3.30 ("));
  EXPECT_THAT(page, HasSubstr("44.0 ("));
  EXPECT_THAT(page, HasSubstr("a &lt;fast&gt; one"));
  // The namespace of SVG is a name, which nobody fetches.
  EXPECT_EQ(count(page, "http"), count(page, "http://www.w3.org/2000/svg"));
  EXPECT_EQ(count(page, "<script"), 0U);
}

}  // namespace
}  // namespace sluice::bench
