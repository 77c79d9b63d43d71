// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/harness/report.h"

#include <gtest/gtest.h>

#include <sstream>

namespace sluice::bench {
namespace {

const Conditions kConditions = {{"cpu", "a \"fast\" one"}, {"kernel", "Linux 6"}};

Row rival() {
  return {.group = "pipe",
          .name = "pipe/oneway/64",
          .subject = "socketpair",
          .unit = "Mmsg/s",
          .better = Better::higher,
          .value = summarize({1, 2, 3}),
          .ratio = summarize({0.1, 0.2, 0.3}),
          .yardstick = "reference_ring",
          .dropped = 4,
          .sluice_is = 8.5,
          .variant = "stream",
          .variants = {{"seqpacket", 1.5}, {"stream", 2}}};
}

Row limit_without_runs() {
  Row row = rival();
  row.subject = "limit";
  row.value = {};
  row.ratio = {};
  row.sluice_is = {};
  row.variant = "";
  row.variants = {};
  return row;
}

TEST(Json, HasAnObjectPerLine) {
  std::ostringstream out;
  write_json(out, std::vector<Row>{rival(), limit_without_runs()}, kConditions);
  EXPECT_EQ(out.str(),
            R"([
{"group": "pipe", "case": "pipe/oneway/64", "subject": "socketpair", "unit": "Mmsg/s", "better": "higher", "median": 2, "min": 1, "max": 3, "runs": 3, "q1": 1.5, "q3": 2.5, "dropped": 4, "yardstick": "reference_ring", "ratio": 0.2, "ratio_q1": 0.15, "ratio_q3": 0.25, "sluice_is": 8.5, "variant": "stream", "variants": {"seqpacket": 1.5, "stream": 2}, "conditions": {"cpu": "a \"fast\" one", "kernel": "Linux 6"}},
{"group": "pipe", "case": "pipe/oneway/64", "subject": "limit", "unit": "Mmsg/s", "better": "higher", "median": null, "min": null, "max": null, "runs": 0, "q1": null, "q3": null, "dropped": 4, "yardstick": "reference_ring", "ratio": null, "ratio_q1": null, "ratio_q3": null, "variant": "", "variants": {}, "conditions": {"cpu": "a \"fast\" one", "kernel": "Linux 6"}}
]
)");
}

TEST(Json, OfNothingIsAnEmptyList) {
  std::ostringstream out;
  write_json(out, {}, kConditions);
  EXPECT_EQ(out.str(), "[\n]\n");
}

TEST(Table, HasALinePerCaseAndAColumnPerSubject) {
  std::ostringstream out;
  print_table(out, std::vector<Row>{limit_without_runs(), rival()}, kConditions);
  EXPECT_TRUE(
      out.str().starts_with("case            unit    limit        socketpair               kept\n"
                            "pipe/oneway/64  Mmsg/s  all dropped  2.00 (1.50-2.50) [8.50]  3/7\n"))
      << out.str();
  EXPECT_NE(out.str().find("kernel: Linux 6\n"), std::string::npos);
}

}  // namespace
}  // namespace sluice::bench
