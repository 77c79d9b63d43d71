// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/result_source.h"

#include <stdexcept>

namespace sluice::internal {

ResultSource::~ResultSource() = default;

bool ResultSource::fetch_until(Done, Deadline) {
  throw std::logic_error("sluice: a source whose results come by themselves was asked for one");
}

void ResultSource::fetch_in_background() {}
void ResultSource::wake_fetchers() {}
bool ResultSource::cancel(std::uint64_t, bool) { return false; }
bool ResultSource::is_running(std::uint64_t) { return false; }
void ResultSource::run_here(FutureBase&) {}

}  // namespace sluice::internal
