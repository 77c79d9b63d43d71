// SPDX-License-Identifier: Apache-2.0
//
// What came of a call: how long it took, what it threw.
//
//   EXPECT_LT(time_of([&] { lock.lock(); }), 1s);
//   EXPECT_THAT(error_of([&] { return Pipe::open("none"); }).what(), HasSubstr("none"));

#ifndef SLUICE_TESTS_SUPPORT_CALLS_H_
#define SLUICE_TESTS_SUPPORT_CALLS_H_

#include <gtest/gtest.h>

#include <chrono>

#include "sluice/sync/error.h"
#include "sluice/sync/status.h"

namespace sluice::tests {

template <class Call>
std::chrono::steady_clock::duration time_of(Call call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::steady_clock::now() - start;
}

/// The Error that `call` threw; else the test has failed, and this one says nothing.
template <class Call>
Error error_of(Call call) {
  try {
    static_cast<void>(call());
  } catch (const Error& e) {
    return e;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(Status::ok, {});
}

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_SUPPORT_CALLS_H_
