// SPDX-License-Identifier: Apache-2.0
//
// Partner: how a process that lives beside the victim of a step_kill (CrashOperation::partner, see
// testkit/crash.h) keeps in step with it: it holds the lock that the victim waits for, or waits for
// what the victim does. Made by the harness alone.
//
//   op.partner = [&](Partner& p) {
//     mutex->lock();                  // before the victim starts
//     p.wait_until_blocked();         // now it waits for the lock, or is dead
//     mutex->unlock();
//   };
//
// Units: none. Errors: std::system_error if there is no descriptor.
//
// Threads and processes: one thread of the partner's process.
//
// If a process dies here: the partner dies with the harness; when the victim is dead, each wait
// returns at once.
//
// Cost: a system call each.

#ifndef SLUICE_TESTKIT_PARTNER_H_
#define SLUICE_TESTKIT_PARTNER_H_

namespace sluice::internal {
class PartnerProcess;
}

namespace sluice::testkit {

/// What the partner of a victim knows of it; lent to CrashOperation::partner.
class Partner {
 public:
  /// Lets the victim start. Its operation begins when this process sleeps or has ended, so that a
  /// wait that follows has been entered.
  void ready();
  /// Lets the victim start, and waits until it sleeps in a system call (for each that blocks,
  /// once), or is dead, or has finished. True if it sleeps.
  bool wait_until_blocked();
  /// The victim has been killed: nobody will come.
  [[nodiscard]] bool victim_is_dead() const noexcept;

 private:
  friend class internal::PartnerProcess;
  explicit Partner(internal::PartnerProcess& process) : process_(process) {}
  internal::PartnerProcess& process_;
};

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_PARTNER_H_
