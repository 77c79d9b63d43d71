// SPDX-License-Identifier: Apache-2.0
//
// Whether the kernel marks the locks of those who are killed, or the survivors have to find out.

#ifndef SLUICE_TESTS_CRASH_HELP_H_
#define SLUICE_TESTS_CRASH_HELP_H_

#include <cstdint>
#include <string>

#include "sluice/sync/mutex.h"
#include "sluice/tests/support/no_kernel_help.h"

namespace sluice::tests {

enum class Help : std::uint8_t { kernel, none };

/// What the name of an operation says of it.
inline std::string in_words(Help help) { return help == Help::none ? ", no help" : ""; }

/// Attaches this process, which has used no lock yet, with such help, and lets it have used one:
/// what a process's first lock costs would all be stepped.
inline void attach_with(Help help) {
  if (help == Help::none) refuse_kernel_help();
  Mutex first;
  first.lock();
  first.unlock();
}

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_CRASH_HELP_H_
