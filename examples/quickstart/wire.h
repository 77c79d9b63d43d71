// SPDX-License-Identifier: Apache-2.0
//
// What goes through the pipes, and how much of it there can be:
//
//              Batch              Result
//   producer =========> parser k =========> parent
//      |  ^                                 |  ^
//      |  +------------ Notice -------------+  |
//      +----------------- News ----------------+
//
// A parser has at most kBatchesAhead batches that the parent has not yet told the producer to be
// answered, and each pipe has room for all messages that can then be under way in it. So nobody
// ever waits to send, and no circle of full pipes can come about: the producer waits for notices, a
// parser for batches, the parent for results and news, and for nothing else.

#ifndef SLUICE_EXAMPLES_QUICKSTART_WIRE_H_
#define SLUICE_EXAMPLES_QUICKSTART_WIRE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "sluice/examples/quickstart/count.h"
#include "sluice/ipc/pipe.h"
#include "sluice/sync/status.h"

namespace quickstart {

inline constexpr std::size_t kBatchesAhead = 8;
inline constexpr std::size_t kBatchBytes = 32 << 10;

// A word of n bytes takes n + 2 bytes in a result, and took n + 1 in its batch, or kLongestWord if
// it was cut there; a word seen more often takes a byte more only at 128 times, and so on.
inline constexpr std::size_t kResultBytes = 2 * kBatchBytes;

/// Lines of one file, from the producer to a parser. Also sent to another parser if the first dies.
struct Batch {
  std::uint64_t number;  ///< 0, 1, 2, ...
  std::int64_t sent_ns;  ///< now_ns() before it was sent
  std::uint32_t size;    ///< bytes of `body` in use
  bool has_open_line;    ///< the file ends here, and not with '\n'
  bool kill_parser;      ///< --kill-one: whoever parses this is killed half-way
  char body[kBatchBytes];

  [[nodiscard]] std::string_view text() const { return {body, size}; }
};

/// What a parser counted in one batch.
struct Result {
  std::uint64_t number;   ///< the batch's
  std::int64_t sent_ns;   ///< the batch's
  std::int64_t taken_ns;  ///< now_ns() when the parser had received it
  std::uint64_t lines;
  std::uint64_t bytes;
  std::uint64_t words;
  std::uint32_t size;       ///< bytes of `body` in use
  char body[kResultBytes];  ///< per word: length (1 byte), count (7 bits per byte), text
};

/// From the parent to the producer.
struct Notice {
  enum class Kind : std::uint32_t {
    answered,      ///< the parser's result for `batch` has arrived
    parser_ended,  ///< the parser has died; all that it had sent has been received
  };
  Kind kind;
  std::uint32_t parser;
  std::uint64_t batch;
};

/// From the producer to the parent. (Or a text: why the producer gives up.)
struct News {
  enum class Kind : std::uint32_t {
    loss,      ///< `parser` ended early, and `batches` without a result go to the other parsers
    finished,  ///< all is read, and all `batches` have their result
  };
  Kind kind;
  std::uint32_t parser;
  std::uint64_t batches;
  std::uint64_t first;    ///< loss: the first of them, which it was parsing or about to parse
  std::uint64_t ordinal;  ///< loss: the how-many-th of this parser's batches that was, from 1
};

/// Steady clock, which all processes of a machine share.
inline std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// Sends the part of a Batch or a Result that is in use.
template <class Message>
sluice::Status send_used(sluice::Sender& to, const Message& message) {
  const auto bytes = std::as_bytes(std::span(&message, 1));
  return to.send(bytes.first(offsetof(Message, body) + message.size));
}

/// Receives what send_used() sent.
template <class Message>
sluice::Status recv_used(sluice::Receiver& from, Message& message) {
  const auto [status, size] = from.recv_into(std::as_writable_bytes(std::span(&message, 1)));
  if (status != sluice::Status::ok) return status;
  const bool whole =
      size >= offsetof(Message, body) && size - offsetof(Message, body) == message.size;
  return whole ? sluice::Status::ok : sluice::Status::corrupt;
}

/// A pipe's capacity that has room for `messages` messages of up to `bytes` bytes. One more, since
/// a message does not wrap around the end of the pipe's storage; eight bytes more for each, as its
/// header; twice one message, as the least capacity that takes it.
constexpr std::size_t capacity_for(std::size_t messages, std::size_t bytes) {
  return (messages + 2) * (bytes + 16);
}

/// Writes the counts into a result, and reads them: adds them to `counts`, false if the bytes make
/// no sense.
void encode(const Counts& counts, Result& result);
bool decode(const Result& result, Counts& counts);

}  // namespace quickstart

#endif  // SLUICE_EXAMPLES_QUICKSTART_WIRE_H_
