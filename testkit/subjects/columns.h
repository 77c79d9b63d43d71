// SPDX-License-Identifier: Apache-2.0
//
// The columns of the table: what of the kit each cell of a subject's row runs. Internal to
// //testkit/subjects:table; a user has testkit/queue_suite.h and its neighbours.
//
//   rows.push_back(row_of<MyAdapter>("MyQueue"));
//
// Errors: as the checks. Threads: none of its own. If a process dies here: as in table.h. Cost: a
// row takes long to compile, so each family is a file.

#ifndef SLUICE_TESTKIT_SUBJECTS_COLUMNS_H_
#define SLUICE_TESTKIT_SUBJECTS_COLUMNS_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/testkit/check_options.h"
#include "sluice/testkit/checked_item.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/history.h"
#include "sluice/testkit/linear_search.h"
#include "sluice/testkit/linearizability.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_checks.h"
#include "sluice/testkit/queue_crash.h"
#include "sluice/testkit/queue_crash_options.h"
#include "sluice/testkit/queue_fuzz.h"
#include "sluice/testkit/subjects/table.h"

namespace sluice::internal {

/// Those checks of the suite, one after the other.
template <class Kit>
testkit::Cell suite_cell(std::string column, const std::vector<std::string_view>& names) {
  std::vector<testkit::QueueCheck> checks;
  for (const testkit::QueueCheck& check : testkit::queue_checks<Kit>()) {
    const bool is_here = std::ranges::find(names, check.name) != names.end();
    if (is_here && check.left_out == nullptr) checks.push_back(check);
  }
  if (checks.empty()) return {std::move(column), nullptr};
  return {std::move(column), [checks](const testkit::TableRun& run) {
            testkit::CheckOptions options{.seed = run.seed, .limit = run.limit};
            if (!run.quick) options.profile = testkit::CheckProfile::full;
            for (const testkit::QueueCheck& check : checks) {
              const std::string wrong = check.run(options);
              if (!wrong.empty()) return std::string(check.name) + ": " + wrong;
            }
            return std::string();
          }};
}

inline testkit::QueueCrashOptions crash_options(const testkit::TableRun& run) {
  testkit::QueueCrashOptions options{.seed = run.seed};
  if (!run.quick) options.profile = testkit::CrashProfile::full;
  return options;
}

/// A verdict that is none, as the table has it.
inline std::string as_undecided(const std::string& wrong) {
  if (!wrong.starts_with(testkit::kNoVerdict)) return wrong;
  return std::string(testkit::kUndecided) + ": " + wrong.substr(testkit::kNoVerdict.size());
}

/// What the judge of histories says: with a no, whether it is one of refusals alone.
inline std::string as_cell(const testkit::HistoryVerdict& verdict) {
  if (verdict.answer == testkit::Linearizable::yes) return "";
  const bool is_no = verdict.answer == testkit::Linearizable::no;
  const bool is_of_refusals = verdict.text.find("the answer is yes") != std::string::npos;
  std::string why = is_no ? "" : std::string(testkit::kUndecided) + ": ";
  if (is_of_refusals) why += R"("full" or "empty" alone, while another's call is under way: )";
  return why + verdict.text.substr(0, verdict.text.find('\n'));
}

/// Of threads; and of processes, of which three are killed.
template <template <class> class Adapter>
std::vector<testkit::Cell> history_cells(const std::string& subject) {
  using A = Adapter<std::uint64_t>;
  const auto judge = [subject](const testkit::TableRun& run, bool processes) {
    const testkit::HistoryOptions options{
        .name = subject, .processes = processes, .kills = processes ? 3U : 0U};
    return as_cell(testkit::check_linearizable<A>(
        options,
        {.rounds = run.quick ? 10U : 200U, .redelivers = processes, .seed = 1000 * run.seed}));
  };
  std::vector<testkit::Cell> cells = {
      {"linearizable", [judge](const testkit::TableRun& run) { return judge(run, false); }},
      {"linearizable, killed", nullptr}};
  if constexpr (testkit::ProcessAdapter<A>) {
    cells[1].check = [judge](const testkit::TableRun& run) { return judge(run, true); };
  }
  return cells;
}

template <template <class> class Adapter>
std::vector<testkit::Cell> attack_cells() {
  using A = testkit::OfKitItems<Adapter>;
  std::vector<testkit::Cell> cells;
  cells.push_back({"random calls", [](const testkit::TableRun& run) {
                     return testkit::check_fuzz_calls<A>(
                         {.seed = run.seed, .cases = run.quick ? 2000U : 50000U});
                   }});
  if constexpr (testkit::ProcessAdapter<A>) {
    cells.push_back({"killed at each step", [](const testkit::TableRun& run) {
                       return as_undecided(testkit::check_step_kill<A>(crash_options(run)));
                     }});
    cells.push_back({"killed at random", [](const testkit::TableRun& run) {
                       return as_undecided(testkit::check_kill_stress<A>(crash_options(run)));
                     }});
    cells.push_back({"hostile bytes", [](const testkit::TableRun& run) {
                       return testkit::check_fuzz_memory<A>(
                           {.seed = run.seed, .cases = run.quick ? 500U : 10000U});
                     }});
  } else {
    for (const char* const column : {"killed at each step", "killed at random", "hostile bytes"}) {
      cells.push_back({column, nullptr});
    }
  }
  return cells;
}

}  // namespace sluice::internal

namespace sluice::testkit {

template <template <class> class Adapter>
Row row_of(std::string subject, std::map<std::string, std::string> known = {}) {
  using Kit = QueueKit<Adapter>;
  Row row{.subject = std::move(subject), .known = std::move(known)};
  row.cells = {
      internal::suite_cell<Kit>("one thread", {"sequential", "boundaries", "batches"}),
      internal::suite_cell<Kit>("items", {"aligned_items", "move_only_items", "large_items",
                                          "throwing_items", "lives", "lives_of_threads"}),
      internal::suite_cell<Kit>("order", {"producer_order"}),
      internal::suite_cell<Kit>("exactly once",
                                {"exactly_once", "whole_items", "batches_of_threads"}),
      internal::suite_cell<Kit>("size", {"size"}),
      internal::suite_cell<Kit>(
          "waiting", {"sleeping_pop", "sleeping_push", "many_sleepers", "waiting_traffic"}),
      internal::suite_cell<Kit>("close", {"close", "close_during_traffic"}),
  };
  for (Cell& cell : internal::history_cells<Adapter>(row.subject)) {
    row.cells.push_back(std::move(cell));
  }
  for (Cell& cell : internal::attack_cells<Adapter>()) row.cells.push_back(std::move(cell));
  return row;
}

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_SUBJECTS_COLUMNS_H_
