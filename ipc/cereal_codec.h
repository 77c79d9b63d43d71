// SPDX-License-Identifier: Apache-2.0
//
// CerealCodec: lets whatever the library cereal can write travel as a message: types that have its
// functions already, smart pointers, polymorphic classes. Not for types that ipc/codec.h takes as
// they are or with one line: those are written straight into shared memory, cereal's by way of a
// buffer.
//
//   struct Node {
//     int value = 0;
//     std::unique_ptr<Node> next;
//     template <class Archive> void serialize(Archive& archive) { archive(value, next); }
//   };
//   template <> struct sluice::Codec<Node> : sluice::CerealCodec<Node> {};    // the one line
//   tx.send(Node{1, nullptr});
//
// Include cereal's headers for the standard types in it (<cereal/types/memory.hpp>, ...).
//
// In memory: cereal's binary format, sizes as u64. Units: bytes.
// Errors: as for a codec: bytes that make no sense are corrupt. A size is checked against the bytes
// that are left before cereal allocates for it, so elements must take a byte each; values nested
// deeper than kMostNestedByCereal are refused both ways (writing throws std::logic_error). What
// cereal throws for a type that was not registered passes through when writing.
// Threads, processes, death: as ipc/codec.h. Cost: cereal's, and growth of the buffer.

#ifndef SLUICE_IPC_CEREAL_CODEC_H_
#define SLUICE_IPC_CEREAL_CODEC_H_

#include <cereal/archives/binary.hpp>
#include <cereal/cereal.hpp>
#include <cereal/types/polymorphic.hpp>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <stdexcept>
#include <type_traits>

#include "sluice/ipc/codec.h"
#include "sluice/ipc/codec_stream.h"
#include "sluice/lockfree/value_bytes.h"

namespace sluice {

/// Each value within a value counts, members and containers alike.
inline constexpr int kMostNestedByCereal = 1024;

namespace internal {

/// An archive of cereal's that writes to an Encoder.
class CerealWriter : public cereal::OutputArchive<CerealWriter> {
 public:
  explicit CerealWriter(Encoder& out) : OutputArchive(this), out_(out) {}

  void write(const void* data, std::size_t size) {
    out_.bytes({static_cast<const std::byte*>(data), size});
  }
  void enter() {
    if (++depth_ > kMostNestedByCereal) {
      throw std::logic_error("sluice: a value nested too deeply can't be sent");
    }
  }
  void leave() { --depth_; }

 private:
  Encoder& out_;
  int depth_ = 0;
};

/// An archive of cereal's that reads from a Decoder, and believes no size.
class CerealReader : public cereal::InputArchive<CerealReader> {
 public:
  explicit CerealReader(Decoder& in) : InputArchive(this), in_(in) {}

  void read(void* data, std::size_t size) {
    if (!in_.bytes({static_cast<std::byte*>(data), size})) throw cereal::Exception("cut short");
  }
  [[nodiscard]] std::uint64_t read_size() {
    std::uint64_t size = 0;
    if (!in_.number(size) || size > in_.left().size()) throw cereal::Exception("a wrong size");
    return size;
  }
  void enter() {
    if (++depth_ > kMostNestedByCereal) throw cereal::Exception("nested too deeply");
  }
  void leave() { --depth_; }

 private:
  Decoder& in_;
  int depth_ = 0;
};

// What cereal looks for, by these names, in the namespace of the archives.
// NOLINTBEGIN(readability-identifier-naming)
template <class T>
void prologue(CerealWriter& out, const T&) {
  out.enter();
}
template <class T>
void epilogue(CerealWriter& out, const T&) {
  out.leave();
}
template <class T>
void prologue(CerealReader& in, const T&) {
  in.enter();
}
template <class T>
void epilogue(CerealReader& in, const T&) {
  in.leave();
}

template <class T>
  requires std::is_arithmetic_v<T>
void CEREAL_SAVE_FUNCTION_NAME(CerealWriter& out, const T& value) {
  T clean = value;
  internal::clear_padding(clean);  // of a long double
  out.write(&clean, sizeof clean);
}
template <class T>
  requires std::is_arithmetic_v<T>
void CEREAL_LOAD_FUNCTION_NAME(CerealReader& in, T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    std::uint8_t byte = 0;
    in.read(&byte, sizeof byte);
    value = byte != 0;
  } else {
    in.read(&value, sizeof value);
  }
}

template <class T>
void CEREAL_SAVE_FUNCTION_NAME(CerealWriter& out, const cereal::BinaryData<T>& data) {
  out.write(data.data, data.size);
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(CerealReader& in, cereal::BinaryData<T>& data) {
  in.read(data.data, data.size);
}

template <class T>
void CEREAL_SAVE_FUNCTION_NAME(CerealWriter& out, const cereal::SizeTag<T>& size) {
  const std::uint64_t number = size.size;
  out.write(&number, sizeof number);
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(CerealReader& in, cereal::SizeTag<T>& size) {
  size.size = static_cast<std::remove_reference_t<T>>(in.read_size());
}

template <class Archive, class T>
  requires std::is_same_v<Archive, CerealWriter> || std::is_same_v<Archive, CerealReader>
void CEREAL_SERIALIZE_FUNCTION_NAME(Archive& archive, cereal::NameValuePair<T>& pair) {
  archive(pair.value);
}
// NOLINTEND(readability-identifier-naming)

}  // namespace internal

/// Base of a Codec for a T that cereal can write.
template <class T>
struct CerealCodec {
  /// Writes the value as cereal does. Throws std::logic_error if it is nested too deeply, and what
  /// cereal throws.
  static void encode(Encoder& out, const T& value) {
    internal::CerealWriter writer(out);
    writer(value);
  }

  /// Reads a value as cereal does; false where it refuses the bytes.
  static bool decode(Decoder& in, T& value) {
    try {
      internal::CerealReader reader(in);
      reader(value);
      return true;
    } catch (const cereal::Exception&) {
      return false;
    } catch (const std::length_error&) {
      return false;  // a container refused the size
    }
  }
};

}  // namespace sluice

CEREAL_REGISTER_ARCHIVE(sluice::internal::CerealWriter)
CEREAL_REGISTER_ARCHIVE(sluice::internal::CerealReader)
CEREAL_SETUP_ARCHIVE_TRAITS(sluice::internal::CerealReader, sluice::internal::CerealWriter)

#endif  // SLUICE_IPC_CEREAL_CODEC_H_
