// SPDX-License-Identifier: Apache-2.0
//
// Internal: the process behind a Partner (testkit/partner.h).
//
// If a process dies here: as there.

#ifndef SLUICE_TESTKIT_PARTNER_PROCESS_H_
#define SLUICE_TESTKIT_PARTNER_PROCESS_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "sluice/testkit/child.h"
#include "sluice/testkit/partner.h"
#include "sluice/testkit/shared_area.h"

namespace sluice::internal {

struct PartnerWords {
  std::atomic<std::uint32_t> ready{0};
  std::atomic<std::uint32_t> victim_is_dead{0};
  Answer answer;
};

/// The harness's side of a partner, and the child itself.
class PartnerProcess {
 public:
  using Body = std::function<void(testkit::Partner&)>;

  /// Forks it, and waits until it is ready and sleeps, or has ended, or the limit is over.
  PartnerProcess(const Body& body, std::chrono::milliseconds limit);
  ~PartnerProcess();
  PartnerProcess(const PartnerProcess&) = delete;
  PartnerProcess& operator=(const PartnerProcess&) = delete;

  void victim_blocks() const;
  /// Waits until it sleeps or has ended, for the limit at most: what it does next, it does because
  /// of what the victim does.
  void settle() const;
  /// After the victim's death. Returns what is wrong with the partner, or an empty string.
  std::string finish();

 private:
  friend class testkit::Partner;
  void run(const Body& body) noexcept;

  std::chrono::milliseconds limit_;
  testkit::SharedArea<PartnerWords> shared_;
  int signals_ = -1;  // an eventfd: one for each call in which the victim blocks
  std::optional<Child> child_;
};

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_PARTNER_PROCESS_H_
