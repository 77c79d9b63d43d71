// SPDX-License-Identifier: Apache-2.0
//
// Attaches to arbitrary bytes as to a pipe, uses both ends, scribbles over the memory meanwhile,
// and looks at it with the inspector. Whatever the bytes, the calls end with a Status or an Error;
// they don't crash, don't hang, and don't touch memory outside the mapping: guarded_mmap.cc puts
// unmapped pages on both sides of it.
//
//   ./bazelw test //fuzz:attach_corpus_test                   # the corpus, with any compiler
//   ./bazelw run --config=fuzz //fuzz:attach_fuzz -- -max_len=16384 $PWD/fuzz/corpus/attach
//
// Run so, it is given its dictionary; what is run by hand wants
// -dict=fuzz/dictionaries/attach.dict (dictionaries.h).
//
// The format of an input is in attach_input.h; attach_seeds.cc makes the corpus. A crash is kept as
// a further file of the corpus.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
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
#include <vector>

#include "sluice/fuzz/attach_input.h"
#include "sluice/fuzz/corpus.h"
#include "sluice/ipc/fingerprint.h"
#include "sluice/ipc/inspect.h"
#include "sluice/ipc/pipe.h"
#include "sluice/ipc/pipe_layout.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::fuzz {

const char* const kCorpus = "fuzz/corpus/attach";

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kMostBytes = 256 * kPage;
constexpr std::size_t kRingControl = 3 * kNoSharing;
constexpr std::size_t kRingHead = internal::kPipeRingOffset + 2 * kNoSharing;

struct Action {
  Step step;
  std::uint16_t where;
  std::uint8_t what;
  std::uint64_t value;
};

/// An input, taken apart; whatever is missing is zero.
struct Input {
  std::uint8_t making = 0;
  std::size_t capacity = 0;
  std::vector<Action> actions;
  std::span<const std::uint8_t> bytes;
};

Input take_apart(std::span<const std::uint8_t> data) {
  Input input;
  if (data.size() < kInputHeader) return input;
  input.making = data[0];
  input.capacity = std::size_t{128} << data[1] % 8;
  const std::size_t steps =
      std::min<std::size_t>(data[2], (data.size() - kInputHeader) / kStepSize);
  for (std::size_t i = 0; i < steps; ++i) {
    const auto bytes = data.subspan(kInputHeader + i * kStepSize, kStepSize);
    Action action = {
        .step = static_cast<Step>(bytes[0] % kSteps), .where = 0, .what = bytes[3], .value = 0};
    std::memcpy(&action.where, &bytes[1], sizeof action.where);
    std::memcpy(&action.value, &bytes[4], sizeof action.value);
    input.actions.push_back(action);
  }
  input.bytes = data.subspan(kInputHeader + steps * kStepSize);
  input.bytes = input.bytes.first(std::min(input.bytes.size(), kMostBytes));
  return input;
}

void put(std::span<std::byte> file, std::size_t offset, std::uint64_t word) {
  if (offset + sizeof word <= file.size()) std::memcpy(&file[offset], &word, sizeof word);
}

/// Stamps as this process makes them, so that the deeper code is reached.
void fix_stamp(const Input& input, std::span<std::byte> file) {
  if ((input.making & kObjectOnly) != 0) {
    const Stamp made = make_stamp(internal::kPipeKind, Lifetime::while_used, file.size());
    std::memcpy(file.data(), &made, sizeof made);
  } else if ((input.making & kFixStamp) != 0) {
    Stamp stamp = {};
    std::memcpy(&stamp, file.data(), sizeof stamp);
    stamp.total_size = file.size();
    stamp.incarnation = Domain::current().incarnation();
    const auto bytes = std::as_bytes(std::span(&stamp, 1));
    stamp.checksum = Fnv1a().add(bytes.first(offsetof(Stamp, checksum))).value();
    std::memcpy(file.data(), &stamp, sizeof stamp);
  }
}

std::vector<std::byte> file_of(const Input& input) {
  const bool only_object = (input.making & kObjectOnly) != 0;
  const std::size_t start = only_object ? kObjectOffset : 0;
  std::size_t size = start + input.bytes.size();
  const bool fixed = (input.making & kFixCapacity) != 0;
  if (fixed) {
    size =
        std::max(size, kObjectOffset + internal::kPipeRingOffset + kRingControl + input.capacity);
  }
  if (only_object || fixed || (input.making & kFixStamp) != 0) {
    size = (std::max(size, kObjectOffset) + kPage - 1) / kPage * kPage;
  }
  std::vector<std::byte> file(size);
  const std::span<const std::byte> bytes = std::as_bytes(input.bytes);
  std::copy(bytes.begin(), bytes.end(), std::span(file).subspan(start).begin());
  if (fixed) put(file, kObjectOffset + internal::kPipeRingOffset, input.capacity);
  if ((input.making & kFreeEnds) != 0) {
    put(file, kObjectOffset, 0);
    put(file, kObjectOffset + 8, 0);
  }
  if (file.size() >= sizeof(Stamp)) fix_stamp(input, file);
  return file;
}

UniqueFd sealed_memfd(std::span<const std::byte> file) {
  UniqueFd fd(memfd_create("attach", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || pwrite(fd.get(), file.data(), file.size(), 0) != static_cast<ssize_t>(file.size()) ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    throw std::runtime_error("no memfd for the fuzzed bytes");
  }
  return fd;
}

/// What a hostile peer has: the same memory, without any rules.
class Peer {
 public:
  Peer(int fd, std::size_t size) : size_(size) {
    if (size_ == 0) return;
    void* const address = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (address == MAP_FAILED) throw std::runtime_error("no memory for the fuzzed bytes");
    memory_ = static_cast<std::byte*>(address);
  }
  ~Peer() {
    if (memory_ != nullptr) munmap(memory_, size_);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void scribble(std::size_t offset, std::uint64_t word) {
    put({memory_, size_}, kObjectOffset + offset, word);
  }
  [[nodiscard]] std::uint64_t word(std::size_t offset) const {
    std::uint64_t word = 0;
    if (kObjectOffset + offset + sizeof word <= size_) {
      std::memcpy(&word, memory_ + kObjectOffset + offset, sizeof word);
    }
    return word;
  }

 private:
  std::byte* memory_ = nullptr;
  std::size_t size_;
};

template <class End>
std::optional<End> attached(int fd) {
  try {
    return End::from_fd(UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0)));
  } catch (const Error&) {
    return std::nullopt;  // the expected answer to most inputs
  }
}

/// The two ends, as far as they could be attached, and what is done with them.
class Run {
 public:
  Run(int fd, std::size_t size, bool send_first) : fd_(fd), size_(size), peer_(fd, size) {
    if (send_first) tx_ = attached<Sender>(fd);
    rx_ = attached<Receiver>(fd);
    if (!send_first) tx_ = attached<Sender>(fd);
  }

  void inspect() const {
    std::ostringstream out;
    const ObjectInfo object = describe_object(Domain::current(), fd_, "fuzzed");
    print_details(out, object);
    out << object;
  }

  void perform(const Action& action) {
    switch (action.step) {
      case Step::scribble:
        peer_.scribble(std::size_t{action.where} * 8, action.value);
        break;
      case Step::scribble_near:
        scribble_near(action);
        break;
      case Step::inspect:
        inspect();
        break;
      case Step::reopen:
        reopen(action.what);
        break;
      default:
        if (tx_) send(action);
        if (rx_) receive(action);
    }
  }

 private:
  void scribble_near(const Action& action) {
    const std::uint64_t capacity =
        std::max<std::uint64_t>(peer_.word(internal::kPipeRingOffset), 8);
    const std::uint64_t at =
        (peer_.word(kRingHead) / 8 * 8 + std::uint64_t{action.where} % 64 * 8) % capacity;
    peer_.scribble(internal::kPipeRingOffset + kRingControl + at, action.value);
  }

  void reopen(std::uint8_t which) {
    if ((which & 1) != 0) {
      rx_.reset();
      rx_ = attached<Receiver>(fd_);
    } else {
      tx_.reset();
      tx_ = attached<Sender>(fd_);
    }
  }

  void send(const Action& action) {
    switch (action.step) {
      case Step::try_send:
        static_cast<void>(tx_->try_send(std::string(action.value % 8192, 'x')));
        break;
      case Step::try_send_value:
        static_cast<void>(tx_->try_send(action.value));
        break;
      case Step::wait:
        static_cast<void>(tx_->send(std::string(action.what, 'w'), std::chrono::microseconds(5)));
        break;
      case Step::ask:
        ask(*tx_);
        break;
      case Step::close:
        if ((action.what & 1) != 0) tx_->close();
        break;
      default:
        break;
    }
  }

  void receive(const Action& action) {
    std::string text;
    std::uint64_t value = 0;
    switch (action.step) {
      case Step::try_recv:
        if (rx_->try_recv(text) == Status::ok) check_size(text.size());
        break;
      case Step::try_recv_value:
        static_cast<void>(rx_->try_recv(value));
        break;
      case Step::recv_into:
        text.resize(action.value % 4096);
        check_size(rx_->recv_into(std::as_writable_bytes(std::span(text)), Deadline::now()).size);
        break;
      case Step::skip:
        static_cast<void>(rx_->skip());
        break;
      case Step::poll:
        static_cast<void>(rx_->poll());
        break;
      case Step::wait:
        static_cast<void>(rx_->recv(text, std::chrono::microseconds(5)));
        break;
      case Step::ask:
        ask(*rx_);
        break;
      case Step::close:
        if ((action.what & 1) == 0) rx_->close();
        break;
      default:
        break;
    }
  }

  template <class End>
  static void ask(End& end) {
    std::ostringstream out;
    try {
      static_cast<void>(end.status());
      static_cast<void>(end.capacity());
      static_cast<void>(end.max_message());
      out << end;
    } catch (const Error&) {
      return;  // these look at the shared capacity again, and say so if it is none
    }
  }

  /// No message is larger than the memory it was in.
  void check_size(std::size_t size) const {
    if (size > size_) std::abort();
  }

  int fd_;
  std::size_t size_;
  Peer peer_;
  std::optional<Receiver> rx_;
  std::optional<Sender> tx_;
};

void attach_to(std::span<const std::uint8_t> data) {
  const Input input = take_apart(data);
  const std::vector<std::byte> file = file_of(input);
  const UniqueFd fd = sealed_memfd(file);
  Run run(fd.get(), file.size(), (input.making & kSendFirst) != 0);
  for (const Action& action : input.actions) run.perform(action);
  run.inspect();
}

}  // namespace
}  // namespace sluice::fuzz

// libFuzzer's names and signatures.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sluice::fuzz::attach_to({data, size});
  return 0;
}
