// SPDX-License-Identifier: Apache-2.0
//
// Encoder and Decoder: where a codec (ipc/codec.h) writes bytes and reads them. For those who
// specialise sluice::Codec; everybody else calls encode() and decode().
//
//   static void encode(Encoder& out, const Shape& shape) { out.value(shape.corners()); }
//   static bool decode(Decoder& in, Shape& shape) {
//     std::vector<Point> corners;
//     return in.value(corners) && shape.assign(std::move(corners));
//   }
//
// Units: bytes. Errors: a Decoder's calls return false where the bytes end or make no sense; an
// Encoder without room leaves bytes out, and fits() is false.
// Threads, processes, death: private to the caller; the bytes of a Decoder may lie in memory that
// somebody else changes: number() and count() read once.
// Cost: a comparison and a copy per call.

#ifndef SLUICE_IPC_CODEC_STREAM_H_
#define SLUICE_IPC_CODEC_STREAM_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <vector>

namespace sluice {

template <class T>
struct Codec;

/// Where bytes are written: into room that must suffice, or at the end of a vector that grows.
class Encoder {
 public:
  /// Into `room`, which does not grow: fits() tells whether it was enough.
  explicit Encoder(std::span<std::byte> room) : room_(room) {}
  /// At the end of `out`, which is larger than it should be until the Encoder is destroyed.
  explicit Encoder(std::vector<std::byte>& out)
      : growing_(&out), room_(out), used_(out.size()), start_(out.size()) {}
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;
  /// Gives a vector that grew the size of what is in it.
  ~Encoder() {
    if (growing_ != nullptr) growing_->resize(used_);
  }

  /// Writes bytes as they are.
  void bytes(std::span<const std::byte> bytes) {
    if (bytes.size() > room_.size() - used_ && !grow(bytes.size())) [[unlikely]] {
      fits_ = false;
      return;
    }
    std::copy(bytes.begin(), bytes.end(), room_.subspan(used_).begin());
    used_ += bytes.size();
  }

  /// Writes the number's bytes, the lowest first.
  template <class Number>
    requires std::is_arithmetic_v<Number>
  void number(Number number) {
    bytes(std::as_bytes(std::span(&number, 1)));
  }

  /// Writes how many elements follow.
  void count(std::size_t count) {
    if (count > std::numeric_limits<std::uint32_t>::max()) {
      throw std::length_error("sluice: a container of more than 2^32-1 elements can't be sent");
    }
    number(static_cast<std::uint32_t>(count));
  }

  /// Writes a value of any type that travels.
  template <class T>
  void value(const T& value);

  /// False if something was left out for want of room.
  [[nodiscard]] bool fits() const { return fits_; }
  /// Bytes written.
  [[nodiscard]] std::size_t size() const { return used_ - start_; }

 private:
  template <class>
  friend struct Codec;

  bool grow(std::size_t more) {
    if (growing_ == nullptr) return false;
    growing_->resize(std::max(2 * used_, used_ + more));
    room_ = *growing_;
    return true;
  }

  std::vector<std::byte>* growing_ = nullptr;
  std::span<std::byte> room_;
  std::size_t used_ = 0;
  std::size_t start_ = 0;
  int depth_ = 0;
  bool fits_ = true;
};

/// Where bytes are read.
class Decoder {
 public:
  /// Of these bytes, which must outlive it and may be in shared memory.
  explicit Decoder(std::span<const std::byte> bytes) : left_(bytes) {}

  /// What nothing has been read of yet; empty at the end.
  [[nodiscard]] std::span<const std::byte> left() const { return left_; }

  /// The next `size` bytes, in place.
  [[nodiscard]] bool take(std::size_t size, std::span<const std::byte>& bytes) {
    if (size > left_.size()) return false;
    bytes = left_.first(size);
    left_ = left_.subspan(size);
    return true;
  }

  /// Copies the next bytes.
  [[nodiscard]] bool bytes(std::span<std::byte> to) {
    std::span<const std::byte> from;
    if (!take(to.size(), from)) return false;
    std::copy(from.begin(), from.end(), to.begin());
    return true;
  }

  /// Copies a number, once, so that it does not change any more; false where the bytes end.
  template <class Number>
    requires std::is_arithmetic_v<Number>
  [[nodiscard]] bool number(Number& number) {
    Number once{};
    if (!bytes(std::as_writable_bytes(std::span(&once, 1)))) return false;
    // From here on the compiler must use what was read, not read it again: it may have changed.
    asm volatile("" : "+m"(once));
    number = once;
    return true;
  }

  /// How many elements follow: no more than there are bytes left for, at `each` bytes or more.
  [[nodiscard]] bool count(std::size_t& count, std::size_t each = 1) {
    std::uint32_t number = 0;
    if (!this->number(number) || number > left_.size() / each) return false;
    count = number;
    return true;
  }

  /// Reads a value of any type that travels.
  template <class T>
  [[nodiscard]] bool value(T& value);

 private:
  template <class>
  friend struct Codec;

  std::span<const std::byte> left_;
  int depth_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_IPC_CODEC_STREAM_H_
