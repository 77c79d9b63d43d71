// SPDX-License-Identifier: Apache-2.0
//
// A domain of its own for a fuzzer, removed at its end. After a crash it stays, with its few empty
// files, until somebody removes it.

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "sluice/sync/domain.h"

namespace {

void remove_domain() {
  std::error_code ignored;
  std::filesystem::remove_all(sluice::Domain::current_path(), ignored);
}

}  // namespace

// libFuzzer's name and signature.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  setenv("SLUICE_DOMAIN", ("fuzz-" + std::to_string(getpid())).c_str(), 1);
  return std::atexit(remove_domain);
}
