// SPDX-License-Identifier: Apache-2.0
//
// What a run says, as a page to look at: charts of each group, and below them all figures. One file
// that needs no other and no network; for phones, paper, light and dark.
//
//   write_page(file, rows, conditions);
//   for (const Picture& picture : pictures_of(rows)) save(picture.name + ".svg", picture.svg);
//
// Which cases become a chart follows from their names: those that differ in a number at the end
// only are a line over that size; in "4x4", over so many processes; in a percentile, a
// distribution. All others are dots beside each other.
//
// Errors: none. Threads, processes, death: text.

#ifndef SLUICE_BENCH_HARNESS_PAGE_H_
#define SLUICE_BENCH_HARNESS_PAGE_H_

#include <iosfwd>
#include <span>
#include <string>
#include <vector>

#include "sluice/bench/harness/conditions.h"
#include "sluice/bench/harness/report.h"

namespace sluice::bench {

struct Picture {
  std::string group;
  std::string name;  ///< of a file: "spsc-oneway", say
  std::string svg;
};

[[nodiscard]] std::vector<Picture> pictures_of(std::span<const Row> rows,
                                               const std::string& ours = "sluice");

/// `ours` is the subject that is compared with the others.
void write_page(std::ostream& out, std::span<const Row> rows, const Conditions& conditions,
                const std::string& ours = "sluice");

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_PAGE_H_
