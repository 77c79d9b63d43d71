// SPDX-License-Identifier: Apache-2.0
//
// A sealed connection whose peer hands over arbitrary memory, and writes it while it is used.
// Whatever the bytes, the calls end with a Status or an Error; they don't crash, don't hang, don't
// touch memory outside the mapping (guarded_mmap.cc), and no message is longer than was agreed.
//
//   ./bazelw test //fuzz:sealed_corpus_test                   # the corpus, with any compiler
//   ./bazelw run --config=fuzz //fuzz:sealed_fuzz -- -max_len=16384 $PWD/fuzz/corpus/sealed
//
// The format of an input is in sealed_input.h; sealed_seeds.cc makes the corpus. A crash is kept as
// a further file of the corpus.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sluice/fuzz/corpus.h"
#include "sluice/fuzz/sealed_input.h"
#include "sluice/ipc/sealed_connection.h"
#include "sluice/ipc/sealed_end.h"
#include "sluice/ipc/sealed_memory.h"
#include "sluice/ipc/stamp.h"
#include "sluice/ipc/unix_socket.h"
#include "sluice/lockfree/byte_ring.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/tests/support/sealed_peer.h"

namespace sluice::fuzz {

const char* const kCorpus = "fuzz/corpus/sealed";

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kMost = 4000;
constexpr SealedOptions kOptions = {
    .capacity = kSealedCapacity, .max_message = kMost, .max_peer_capacity = 1 << 16};

struct Action {
  SealedStep step;
  std::uint16_t where;
  std::uint8_t what;
  std::uint64_t value;
};

struct Input {
  std::uint8_t making = 0;
  std::vector<Action> actions;
  std::span<const std::uint8_t> bytes;
};

Input take_apart(std::span<const std::uint8_t> data) {
  Input input;
  if (data.size() < kSealedHeader) return input;
  input.making = data[0];
  const std::size_t steps =
      std::min<std::size_t>(data[1], (data.size() - kSealedHeader) / kSealedStepSize);
  for (std::size_t i = 0; i < steps; ++i) {
    const auto bytes = data.subspan(kSealedHeader + i * kSealedStepSize, kSealedStepSize);
    Action action = {.step = static_cast<SealedStep>(bytes[0] % kSealedSteps),
                     .where = 0,
                     .what = bytes[3],
                     .value = 0};
    std::memcpy(&action.where, &bytes[1], sizeof action.where);
    std::memcpy(&action.value, &bytes[4], sizeof action.value);
    input.actions.push_back(action);
  }
  input.bytes = data.subspan(kSealedHeader + steps * kSealedStepSize);
  return input;
}

/// The whole file handed over as it is: does the handshake refuse it, and if not, does use?
void hand_over(const Input& input) {
  std::vector<std::byte> file((input.bytes.size() + kPage - 1) / kPage * kPage);
  std::ranges::copy(std::as_bytes(input.bytes), file.begin());
  if ((input.making & kSealedFixStamp) != 0 && file.size() >= kPage) {
    const Stamp stamp = make_stamp_of_no_registry(internal::kSealedKind, file.size());
    std::memcpy(file.data(), &stamp, sizeof stamp);
  }
  const UniqueFd fd(memfd_create("fuzzed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (write(fd.get(), file.data(), file.size()) != static_cast<ssize_t>(file.size()) ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | 0x0010) != 0) {
    throw std::runtime_error("no memfd for the fuzzed bytes");
  }
  auto [mine, theirs] = internal::UnixSocket::pair();
  auto [kept, sent] = internal::UnixSocket::pair();
  tests::send_hello(mine, {fd.get(), sent.get()});
  try {
    auto end =
        SealedConnection::from_socket(UniqueFd(dup(theirs.get())), Deadline::now(), kOptions);
    std::string text;
    for (int i = 0; i < 10; ++i) {
      if (end.recv(text, Deadline::now()) != Status::ok) static_cast<void>(end.skip());
      if (text.size() > kMost) std::abort();
      static_cast<void>(end.try_send(text));
    }
  } catch (const Error&) {
    return;  // the expected answer to most inputs
  }
}

class Run {
 public:
  explicit Run(const Input& input) : peer_(kOptions) {
    const auto object = peer_.memory().object().subspan(internal::kSealedRing);
    const auto bytes = std::as_bytes(input.bytes);
    try {
      // Before the handshake; the rest of the ring stays as it was made.
      std::copy_n(bytes.begin(), std::min(bytes.size(), object.size()), object.begin());
      end_.emplace(peer_.meet(kOptions));
    } catch (const Error&) {
      end_.reset();
    }
  }

  void perform(const Action& action) {
    if (!end_) return;
    switch (action.step) {
      case SealedStep::scribble:
        return peer_.write(std::size_t{action.where} * 8, action.value);
      case SealedStep::put:
        return put(action);
      case SealedStep::ring:
        return ring(action.what);
      case SealedStep::send_fd: {
        if (peer_.socket().get() < 0) return;  // closed
        const std::byte type{'F'};
        const std::array<int, 3> fds = {0, 0, 0};
        static_cast<void>(peer_.socket().send({&type, 1}, std::span(fds).first(action.what % 4),
                                              Deadline::now()));
        return;
      }
      default:
        use(action);
    }
  }

 private:
  void put(const Action& action) {
    try {
      ByteRing::Producer producer(peer_.memory().ring(), peer_.read_by_victim());
      const std::vector<std::byte> bytes(action.what, static_cast<std::byte>(action.where));
      static_cast<void>(producer.try_write(static_cast<std::uint32_t>(action.value), bytes));
    } catch (const Error&) {
      return;  // its own ring is broken
    }
  }

  void ring(std::uint8_t what) {
    if (what == 1) peer_.close_bells();
    if (what == 2) peer_.socket().close();
    if (what == 0) peer_.ring_bells();
  }

  void use(const Action& action) {
    std::string text;
    std::vector<std::string> texts;
    UniqueFd fd;
    const auto soon = std::chrono::microseconds(5);
    switch (action.step) {
      case SealedStep::try_send:
        return ignore(end_->try_send(std::string(action.value % 8192, 'x')));
      case SealedStep::send:
        return ignore(end_->send(std::string(action.value % 8192, 'x'), soon));
      case SealedStep::try_recv:
        if (action.what % 2 == 0) return ignore(end_->try_recv(texts));
        ignore(end_->try_recv(text));
        return check_size(text.size());
      case SealedStep::recv_into:
        text.resize(action.value % 4096);
        return check_size(
            end_->recv_into(std::as_writable_bytes(std::span(text)), Deadline::now()).size);
      case SealedStep::recv:
        ignore(end_->recv(text, soon));
        return check_size(text.size());
      case SealedStep::skip:
        return ignore(end_->skip());
      case SealedStep::ask:
        return ask();
      case SealedStep::recv_fd:
        return ignore(end_->recv_fd(fd, Deadline::now()));
      case SealedStep::descriptor:
        static_cast<void>(end_->wait_handle());
        return;
      default:
        return;
    }
  }

  void ask() {
    std::ostringstream out;
    ignore(end_->status());
    static_cast<void>(end_->poll());
    out << end_->peer() << *end_;
  }

  static void ignore(Status /*status*/) {}
  static void check_size(std::size_t size) {
    if (size > kMost) std::abort();
  }

  tests::SealedPeer peer_;
  std::optional<SealedConnection> end_;
};

void fuzz(std::span<const std::uint8_t> data) {
  const Input input = take_apart(data);
  if ((input.making & kSealedObject) == 0) return hand_over(input);
  Run run(input);
  for (const Action& action : input.actions) run.perform(action);
}

}  // namespace
}  // namespace sluice::fuzz

// libFuzzer's names and signatures.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sluice::fuzz::fuzz({data, size});
  return 0;
}
