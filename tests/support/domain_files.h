// SPDX-License-Identifier: Apache-2.0
//
// DomainFiles: for objects in files that outlast a reboot. A test has a directory of its own, which
// goes with it, and its process stays without a domain, so that each of its children can choose
// one: another domain is what a reboot leaves of the first.

#ifndef SLUICE_TESTS_SUPPORT_DOMAIN_FILES_H_
#define SLUICE_TESTS_SUPPORT_DOMAIN_FILES_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <stdexcept>
#include <string>

#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/own_domain.h"

namespace sluice::tests {

class DomainFiles : public testing::Test {
 protected:
  DomainFiles() {
    std::string made = testing::TempDir() + "file-XXXXXX";
    if (mkdtemp(made.data()) == nullptr) throw std::runtime_error("mkdtemp " + made);
    directory_ = made;
  }
  ~DomainFiles() override { std::filesystem::remove_all(directory_); }

  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] std::string path(const std::string& leaf = "object") const {
    return directory_ + "/" + leaf;
  }

  /// Runs `body` in a process of its own that is in `domain`.
  template <class Body>
  static void in(const OwnDomain& domain, Body body) {
    ChildParty child([&] {
      domain.enter();
      body();
    });
    child.finish();
  }

  OwnDomain first_, second_, third_;

 private:
  std::string directory_;
};

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_SUPPORT_DOMAIN_FILES_H_
