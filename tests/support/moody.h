// SPDX-License-Identifier: Apache-2.0
//
// An item whose codec throws as often as it is told to, for queues that must survive it.
//
//   Moody::encode_refusals = 1;
//   EXPECT_THROW(static_cast<void>(queue.push({1, "x"})), std::domain_error);
//   EXPECT_EQ(queue.push({1, "x"}), Status::ok);

#ifndef SLUICE_TESTS_SUPPORT_MOODY_H_
#define SLUICE_TESTS_SUPPORT_MOODY_H_

#include <atomic>
#include <compare>
#include <cstddef>
#include <stdexcept>
#include <string>

#include "sluice/ipc/codec.h"
#include "sluice/ipc/codec_stream.h"

namespace sluice::tests {

/// Refuses to be written or read as often as it is told to, in this process.
struct Moody {
  int number = 0;
  std::string text = {};

  static inline std::atomic<int> encode_refusals = 0;
  static inline std::atomic<int> decode_refusals = 0;

  auto operator<=>(const Moody&) const = default;

  static void refuse(std::atomic<int>& times) {
    if (times > 0 && times-- > 0) throw std::domain_error("not in the mood");
  }
};

}  // namespace sluice::tests

template <>
struct sluice::Codec<sluice::tests::Moody> {
  static void encode(Encoder& out, const tests::Moody& moody) {
    out.value(moody.number);
    tests::Moody::refuse(tests::Moody::encode_refusals);
    out.value(moody.text);
  }
  static bool decode(Decoder& in, tests::Moody& moody) {
    if (!in.value(moody.number)) return false;
    tests::Moody::refuse(tests::Moody::decode_refusals);
    return in.value(moody.text);
  }
  static std::size_t size(const tests::Moody& moody) { return 8 + moody.text.size(); }
};

#endif  // SLUICE_TESTS_SUPPORT_MOODY_H_
