// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/queue_bench.h"

#include <algorithm>
#include <string>
#include <vector>

#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/suite.h"

namespace sluice::testkit {

void QueueBench::add_to(const bench::Case& what, const std::string& name,
                        const std::vector<bench::Variant>& variants) {
  if (first_.empty()) first_ = name;
  auto entry = std::find_if(entries_.begin(), entries_.end(),
                            [&](const Entry& e) { return e.what.name == what.name; });
  if (entry == entries_.end()) entry = entries_.insert(entry, {what, {}});
  entry->subjects.push_back({name, variants});
}

int QueueBench::run(int argc, char** argv) {
  bench::Suite suite(first_);
  for (const Entry& entry : entries_) suite.add(entry.what, entry.subjects);
  return suite.run(argc, argv);
}

}  // namespace sluice::testkit
