// SPDX-License-Identifier: Apache-2.0
//
// The service, seen from the parent: starts a producer and the parsers, joined by pipes, gathers
// the results, and sees to it that each batch counts once, whoever dies.
//
//   Outcome outcome = run_service(find_input({"access.log"}), {.parsers = 4});
//   std::cout << outcome.counts.lines << " lines\n";
//
// Who does what when a parser dies: the parent notices (its pipe of results ends with peer_died,
// after all that the parser had sent), and tells the producer, which still has every batch whose
// result the parent has not accepted, and sends those to the other parsers.

#ifndef SLUICE_EXAMPLES_QUICKSTART_SERVICE_H_
#define SLUICE_EXAMPLES_QUICKSTART_SERVICE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/examples/quickstart/count.h"
#include "sluice/examples/quickstart/input.h"
#include "sluice/examples/quickstart/producer.h"

namespace quickstart {

/// The service can't finish; what() is a sentence for the user.
class ServiceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Plan {
  unsigned parsers = 1;
  ProducerPlan producer = {};
};

/// How far it is, for people.
struct Progress {
  std::uint64_t bytes;
  std::uint64_t lines;
  unsigned parsers;  ///< that live
};

struct Outcome {
  Counts counts;
  std::uint64_t batches = 0;
  std::uint64_t second_results = 0;    ///< for a batch that had one already: not counted
  std::vector<std::string> incidents;  ///< who died, and what was done about it
  double seconds = 0;                  ///< from the first batch's sending to the last result
  std::vector<std::int64_t> waits_ns;  ///< per batch: from its sending until its parser had it
};

inline constexpr std::chrono::milliseconds kProgressInterval{100};

/// Runs the service to its end; calls `progress` now and then. Must be called while this process
/// has one thread. Throws ServiceError; sluice::Error if a pipe or a process can't be made.
Outcome run_service(const Input& input, const Plan& plan,
                    const std::function<void(const Progress&)>& progress = {});

}  // namespace quickstart

#endif  // SLUICE_EXAMPLES_QUICKSTART_SERVICE_H_
