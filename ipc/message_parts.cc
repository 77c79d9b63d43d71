// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/message_parts.h"

namespace sluice::internal {

void MessageParts::forget() noexcept {
  total_ = 0;
  bytes_.clear();
  if (bytes_.capacity() > kScratchKept) bytes_ = {};
}

Status MessageParts::take(std::uint32_t type, std::span<const std::byte> payload, Limits limits,
                          std::size_t& announced) {
  if (type == kFirstPart) {
    if (const Status s = begin(payload, limits, announced); s != Status::ok) return s;
  } else if (!begun()) {
    return Status::ok;
  } else if (total_ > limits.most) {
    announced = total_;
    return Status::too_large;
  }
  if (payload.empty() || payload.size() > total_ - bytes_.size()) return Status::corrupt;
  bytes_.insert(bytes_.end(), payload.begin(), payload.end());
  return Status::ok;
}

/// Reads the header of a first part, and leaves the rest in `payload`.
Status MessageParts::begin(std::span<const std::byte>& payload, Limits limits,
                           std::size_t& announced) {
  Decoder in(payload);
  std::uint64_t total = 0;
  std::uint64_t type = 0;
  if (!in.number(total) || !in.number(type)) return Status::corrupt;
  if (total > limits.longest || total <= in.left().size()) return Status::corrupt;
  forget();  // another message, whose sender gave up or died
  if (total > limits.most) {
    announced = total;
    return Status::too_large;
  }
  bytes_.reserve(std::min<std::size_t>(total, reserved_at_once_));
  total_ = total;
  type_ = static_cast<std::uint32_t>(type);
  payload = in.left();
  return Status::ok;
}

}  // namespace sluice::internal
