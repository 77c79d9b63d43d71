// SPDX-License-Identifier: Apache-2.0
//
// A message of one gibibyte, between threads, forked processes, and processes that meet by name.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <span>
#include <vector>

#include "sluice/ipc/connection.h"
#include "sluice/tests/support/bodies.h"
#include "sluice/tests/support/connection_ways.h"

namespace sluice::tests {
namespace {

constexpr std::size_t kGibibyte = std::size_t{1} << 30;

std::vector<std::uint64_t> numbers(std::size_t count) {
  std::vector<std::uint64_t> numbers(count);
  for (std::size_t i = 0; i < count; ++i) numbers[i] = i * 0x9E3779B97F4A7C15;
  return numbers;
}

template <class Way>
class Gibibyte : public testing::Test {};
TYPED_TEST_SUITE(Gibibyte, AllConnections, WayNames);

TYPED_TEST(Gibibyte, Arrives) {
  TypeParam::run(
      {.capacity = 1 << 20, .max_message = kGibibyte},
      [](Connection& far) {
        const auto message = numbers(kGibibyte / 8);
        EXPECT_EQ(far.send(std::as_bytes(std::span(message))), Status::ok);
      },
      [](Connection& near) {
        std::vector<std::byte> bytes;
        EXPECT_TRUE(near.poll(Deadline::never()));
        const auto start = std::chrono::steady_clock::now();
        EXPECT_EQ(near.recv(bytes), Status::ok);
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        std::cout << "[  SECONDS ] " << took.count() << std::endl;
        ASSERT_EQ(bytes.size(), kGibibyte);
        const auto expected = numbers(kGibibyte / 8);
        EXPECT_TRUE(std::ranges::equal(std::as_bytes(std::span(expected)), bytes));
      });
}

}  // namespace
}  // namespace sluice::tests
