// SPDX-License-Identifier: Apache-2.0
//
// What cereal can write travels through a connection; bytes that nobody wrote are refused.

#include "sluice/ipc/cereal_codec.h"

#include <gtest/gtest.h>

#include <cereal/types/memory.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/vector.hpp>
#include <cstddef>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "sluice/ipc/codec.h"
#include "sluice/ipc/connection.h"

namespace sluice::tests {
namespace {

struct Node {
  int value = 0;
  bool last = false;
  std::string text;
  std::vector<double> numbers;
  std::unique_ptr<Node> next;

  template <class Archive>
  void serialize(Archive& archive) {
    archive(value, last, text, CEREAL_NVP(numbers), next);
  }
};

struct Texts {
  std::vector<std::string> texts;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(texts);
  }
};

}  // namespace
}  // namespace sluice::tests

template <>
struct sluice::Codec<sluice::tests::Node> : sluice::CerealCodec<sluice::tests::Node> {};
template <>
struct sluice::Codec<sluice::tests::Texts> : sluice::CerealCodec<sluice::tests::Texts> {};

namespace sluice::tests {
namespace {

Node chain(int length) {
  Node node{length, true, "text " + std::to_string(length), {1.5, 2.5}, nullptr};
  for (int i = length - 1; i > 0; --i) {
    auto next = std::make_unique<Node>(std::move(node));
    node = Node{i, false, "text " + std::to_string(i), {}, std::move(next)};
  }
  return node;
}

TEST(CerealCodec, PointersArriveAsWhatTheyPointTo) {
  auto [a, b] = Connection::pair(1 << 12);
  EXPECT_EQ(a.send(chain(3)), Status::ok);
  Node node;
  ASSERT_EQ(b.recv(node), Status::ok);
  EXPECT_EQ(node.value, 1);
  ASSERT_TRUE(node.next && node.next->next);
  EXPECT_EQ(node.next->next->text, "text 3");
  EXPECT_TRUE(node.next->next->last);
  EXPECT_EQ(node.next->next->numbers, (std::vector<double>{1.5, 2.5}));
  EXPECT_FALSE(node.next->next->next);
}

TEST(CerealCodec, WithinOtherTypesAsWell) {
  std::vector<std::pair<std::string, Node>> nodes(2);
  nodes[1] = {"second", chain(2)};
  const auto back = decode<std::vector<std::pair<std::string, Node>>>(encode(nodes));
  EXPECT_EQ(back[1].first, "second");
  EXPECT_EQ(back[1].second.next->value, 2);
}

TEST(CerealCodec, WhatIsTooDeepIsRefusedBothWays) {
  EXPECT_THROW(static_cast<void>(encode(chain(2000))), std::logic_error);
  const std::vector<std::byte> good = encode(chain(100));
  Node node;
  EXPECT_EQ(decode(good, node), Status::ok);
  // The first links of a chain, again and again.
  const std::vector<std::byte> two = encode(chain(2));
  const std::vector<std::byte> one = encode(chain(1));
  std::vector<std::byte> hostile;
  const auto link = std::span(two).first(4 + 1 + 8 + 6 + 8 + 1);
  for (int i = 0; i < 100000; ++i) hostile.insert(hostile.end(), link.begin(), link.end());
  EXPECT_EQ(decode(hostile, node), Status::corrupt);
}

TEST(CerealCodec, SizesBeyondTheBytesAreRefusedBeforeAnythingIsAllocated) {
  std::vector<std::byte> bytes(100, std::byte{0xFF});
  Texts texts;
  EXPECT_EQ(decode(bytes, texts), Status::corrupt);
  EXPECT_EQ(texts.texts.capacity(), 0U);
}

TEST(CerealCodec, BytesCutShortOrChangedAreSurvived) {
  const std::vector<std::byte> good = encode(chain(10));
  for (std::size_t size = 0; size < good.size(); ++size) {
    Node node;
    ASSERT_EQ(decode(std::span(good).first(size), node), Status::corrupt);
  }
  std::mt19937_64 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::byte> bytes = good;
    for (int n = 0; n < 4; ++n) bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    Node node;
    static_cast<void>(decode(bytes, node));
  }
}

}  // namespace
}  // namespace sluice::tests
