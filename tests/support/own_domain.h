// SPDX-License-Identifier: Apache-2.0
//
// A domain beside the test's own, for what a child of the test does in it: one that is damaged, or
// made under conditions of its own. The child enters it before its first use of any, so the test's
// process must not have attached.
//
//   const OwnDomain own;
//   ChildParty child([&] {
//     own.enter();
//     attach();
//   });

#ifndef SLUICE_TESTS_SUPPORT_OWN_DOMAIN_H_
#define SLUICE_TESTS_SUPPORT_OWN_DOMAIN_H_

#include <cstdlib>
#include <filesystem>
#include <string>

#include "sluice/sync/domain.h"

namespace sluice::tests {

class OwnDomain {
 public:
  OwnDomain() {
    static int count = 0;
    name_ = std::getenv("SLUICE_DOMAIN") + std::string("-own-") + std::to_string(++count);
  }
  ~OwnDomain() { std::filesystem::remove_all(path()); }
  OwnDomain(const OwnDomain&) = delete;
  OwnDomain& operator=(const OwnDomain&) = delete;

  [[nodiscard]] std::string path() const { return Domain::path_of(name_); }
  void enter() const { Domain::choose(name_); }

 private:
  std::string name_;
};

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_SUPPORT_OWN_DOMAIN_H_
