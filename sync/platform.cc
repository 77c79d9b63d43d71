// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/platform.h"

#if !defined(__x86_64__)
// Said here, in the one file that is compiled once, rather than in every including file.
#pragma message "sluice is tested on x86-64 only; on this machine it is untested"
#endif
