// SPDX-License-Identifier: Apache-2.0
//
// A parser process: takes batches, answers each with one result, keeps nothing else. So whatever
// it had not answered when it was killed can be given to another, and counts once.

#ifndef SLUICE_EXAMPLES_QUICKSTART_PARSER_H_
#define SLUICE_EXAMPLES_QUICKSTART_PARSER_H_

#include "sluice/ipc/pipe.h"

namespace quickstart {

/// Runs until either pipe ends.
void run_parser(sluice::Receiver batches, sluice::Sender results);

}  // namespace quickstart

#endif  // SLUICE_EXAMPLES_QUICKSTART_PARSER_H_
