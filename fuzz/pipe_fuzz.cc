// SPDX-License-Identifier: Apache-2.0
//
// Uses a pipe or a connection while a peer without rules writes into its memory. Whatever it
// writes, the calls end with a Status; they don't crash, don't hang, allocate no more than a
// message may have, and don't touch memory outside of the mapping: guarded_mmap.cc puts unmapped
// pages on both sides of it. And as long as nobody has written where messages lie, or what a ring
// trusts as far as it goes, what is received is what was sent, in order and once.
//
//   ./bazelw test //fuzz:pipe_corpus_test                   # the corpus, with any compiler
//   ./bazelw run --config=fuzz //fuzz:pipe_fuzz -- -max_len=1024 $PWD/fuzz/corpus/pipe
//
// The format of an input is in pipe_input.h; pipe_seeds.cc makes the corpus.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <optional>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/fuzz/corpus.h"
#include "sluice/fuzz/pipe_input.h"
#include "sluice/ipc/connection.h"
#include "sluice/ipc/pipe.h"
#include "sluice/ipc/pipe_layout.h"
#include "sluice/ipc/stamp.h"
#include "sluice/lockfree/byte_ring.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::fuzz {

const char* const kCorpus = "fuzz/corpus/pipe";

namespace {

constexpr std::size_t kMostSteps = 64;
constexpr std::size_t kMostWaiting =
    256;  // a header for each 8 bytes of the largest ring, and more
constexpr std::size_t kRingHead = 2 * kNoSharing;
constexpr std::size_t kRingBytes = 3 * kNoSharing;

struct Action {
  PipeStep step;
  std::uint16_t where;
  std::uint8_t what;
  std::uint64_t value;
};

std::vector<Action> actions_of(std::span<const std::uint8_t> data) {
  std::vector<Action> actions;
  for (; data.size() >= kPipeStepSize && actions.size() < kMostSteps;
       data = data.subspan(kPipeStepSize)) {
    Action action = {static_cast<PipeStep>(data[0] % kPipeSteps), 0, data[3], 0};
    std::memcpy(&action.where, &data[1], sizeof action.where);
    std::memcpy(&action.value, &data[4], sizeof action.value);
    actions.push_back(action);
  }
  return actions;
}

void expect(bool truth) {
  if (!truth) std::abort();
}

/// What a hostile peer has: the same memory, without any rules.
class Peer {
 public:
  explicit Peer(int fd) {
    struct stat s = {};
    expect(fstat(fd, &s) == 0);
    size_ = static_cast<std::size_t>(s.st_size);
    void* const address = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (address == MAP_FAILED) throw std::runtime_error("no memory for a pipe");
    memory_ = static_cast<std::byte*>(address);
  }
  ~Peer() { munmap(memory_, size_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  /// Of the object.
  [[nodiscard]] std::size_t size() const { return size_ - kObjectOffset; }
  void write(std::size_t at, std::uint64_t value, std::size_t bytes) {
    std::memcpy(memory_ + kObjectOffset + at, &value, std::min(bytes, size() - at));
  }
  [[nodiscard]] std::uint64_t word(std::size_t at) const {
    std::uint64_t word = 0;
    std::memcpy(&word, memory_ + kObjectOffset + at, sizeof word);
    return word;
  }

 private:
  std::byte* memory_ = nullptr;
  std::size_t size_ = 0;
};

/// What was sent and not yet received, of one direction, and how far that can be relied on.
class Model {
 public:
  Model(std::size_t ring, std::size_t in_place, std::size_t most)
      : ring_(ring), in_place_(in_place), most_(most) {}

  [[nodiscard]] std::size_t ring() const { return ring_; }
  [[nodiscard]] std::size_t most() const { return most_; }
  [[nodiscard]] std::size_t in_place() const { return in_place_; }

  /// Bytes [at, at + size) of the object were overwritten.
  void overwritten(std::size_t at, std::size_t size) {
    const auto touches = [&](std::size_t begin, std::size_t end) {
      return at < end && at + size > begin;
    };
    is_clean_ = false;
    // The tail, its storage and the longest message are read by who attaches; the head, and the
    // records, by who sends and receives.
    lies_to_newcomers_ = lies_to_newcomers_ || touches(ring_, ring_ + 8) || touches(16, 24) ||
                         touches(ring_ + kNoSharing, ring_ + kNoSharing + 8);
    lies_ = lies_ || touches(ring_ + kRingHead, ring_ + kRingHead + 8) ||
            touches(ring_ + kRingBytes, ring_ + kRingBytes + 2 * (in_place_ + 16));
  }
  void attached(bool receives) {
    lies_ = lies_ || lies_to_newcomers_;
    // What had been received of a message in parts is gone with who received it.
    may_be_lost_ = may_be_lost_ || receives;
  }

  void sent(Status status, std::string message) {
    heed(status);
    if (status == Status::ok) {
      waiting_.push_back({std::move(message), true});
    } else if (message.size() > in_place_) {
      waiting_.push_back({"", false});  // parts of it may be under way
    }
  }
  /// A call found `bytes` and has, or has not, acknowledged them.
  void found(std::string_view bytes, bool acknowledged) {
    expect(bytes.size() <= std::max(most_, 2 * in_place_ + 32));
    if (lies_) return;
    drop_unfinished();
    if (may_be_lost_ && !waiting_.empty() && waiting_.front().bytes != bytes &&
        waiting_.front().bytes.size() > in_place_) {
      waiting_.pop_front();
      drop_unfinished();
    }
    expect(!waiting_.empty() && waiting_.front().bytes == bytes);
    if (acknowledged) acknowledge();
  }
  void acknowledge() {
    if (lies_) return;
    waiting_.pop_front();
    may_be_lost_ = false;
  }
  /// Dropped unseen.
  void skipped(Status status) {
    heed(status);
    if (lies_ || status != Status::ok) return;
    const bool known = !waiting_.empty() && waiting_.front().whole && !may_be_lost_;
    lies_ = !known;
    if (known) waiting_.pop_front();
  }
  void heed(Status status) const { expect(!is_clean_ || status != Status::corrupt); }
  /// Everything has been received.
  void at_end() {
    if (!is_clean_ || lies_) return;
    drop_unfinished();
    if (may_be_lost_ && !waiting_.empty() && waiting_.front().bytes.size() > in_place_) {
      waiting_.pop_front();
      drop_unfinished();
    }
    expect(waiting_.empty());
  }

 private:
  struct Message {
    std::string bytes;
    bool whole;
  };

  void drop_unfinished() {
    while (!waiting_.empty() && !waiting_.front().whole) waiting_.pop_front();
  }

  std::size_t ring_;
  std::size_t in_place_;
  std::size_t most_;
  std::deque<Message> waiting_;
  bool is_clean_ = true;            ///< nobody has written anything
  bool lies_to_newcomers_ = false;  ///< what is found by who attaches is not what was left
  bool lies_ = false;               ///< what is received is not what was sent
  bool may_be_lost_ = false;        ///< the first message, if it is long
};

/// One direction: an end that sends and one that receives, and what they hold open.
template <class Out, class In>
class Traffic {
 public:
  Traffic(std::optional<Out>& out, std::optional<In>& in, Model model)
      : out_(out), in_(in), model_(std::move(model)) {}

  [[nodiscard]] Model& model() { return model_; }
  void let_go() {
    room_.reset();
    lease_.reset();
  }

  void perform(const Action& action) {
    const bool is_held = room_.has_value() || lease_.has_value();
    try {
      if (out_) send(action);
      if (in_) receive(action);
    } catch (const std::logic_error&) {
      expect(is_held);  // the only misuse there is
    }
  }

  /// What is left is received.
  void drain() {
    if (!in_) return;
    std::string text;
    // Bounded: there is no end to the messages that somebody has forged.
    for (std::size_t n = 0; n < kMostWaiting && in_->try_recv(text) == Status::ok; ++n) {
      model_.found(text, true);
    }
    model_.at_end();
  }

 private:
  std::string text(std::size_t size) {
    ++serial_;
    std::string text(size, static_cast<char>('a' + serial_ % 26));
    if (size >= sizeof serial_) std::memcpy(text.data(), &serial_, sizeof serial_);
    return text;
  }

  void send(const Action& action) {
    switch (action.step) {
      case PipeStep::send: {
        const std::string message = text(action.value % (2 * model_.most()));
        model_.sent(out_->send(message, std::chrono::microseconds(action.what % 8)), message);
        break;
      }
      case PipeStep::try_send: {
        const std::string message = text(action.value % (2 * model_.most()));
        const Status status = out_->try_send(message);
        model_.sent(status, status == Status::ok ? message : "");
        break;
      }
      case PipeStep::send_value: {
        const Status status = out_->try_send(action.value);
        model_.sent(status, std::string(reinterpret_cast<const char*>(&action.value), 8));
        break;
      }
      case PipeStep::send_each:
        send_each(action.value % 64);
        break;
      case PipeStep::ask:
        ask(*out_);
        break;
      case PipeStep::close_out:
        out_->close();
        break;
      default:
        reserve(action);
    }
  }

  void send_each(std::size_t size) {
    const std::vector<std::string> messages = {text(size), text(0), text(size / 2)};
    const BatchResult sent = out_->send_each(messages, Deadline::now());
    expect(sent.count <= messages.size());
    for (std::size_t i = 0; i < sent.count; ++i) model_.sent(Status::ok, messages[i]);
    if (sent.count < messages.size()) model_.sent(sent.status, messages[sent.count]);
  }

  void reserve(const Action& action) {
    if (action.step == PipeStep::reserve && !room_) {
      room_.emplace(*out_, action.value % (2 * model_.in_place()), Deadline::now());
      model_.heed(room_->status());
      if (!*room_) room_.reset();
    } else if (action.step == PipeStep::commit && room_) {
      const std::string message = text(action.value % (room_->bytes().size() + 1));
      std::memcpy(room_->bytes().data(), message.data(), message.size());
      room_->commit(message.size());
      room_.reset();
      model_.sent(Status::ok, message);
    } else if (action.step == PipeStep::abandon) {
      room_.reset();
    }
  }

  void receive(const Action& action) {
    switch (action.step) {
      case PipeStep::recv:
      case PipeStep::wait:
        receive_text(action);
        break;
      case PipeStep::recv_value: {
        std::uint64_t value = 0;
        const Status status = in_->try_recv(value);
        model_.heed(status);
        if (status == Status::ok) model_.found({reinterpret_cast<char*>(&value), 8}, true);
        break;
      }
      case PipeStep::recv_into: {
        std::string room(action.value % 4096, ' ');
        const auto [status, size] =
            in_->recv_into(std::as_writable_bytes(std::span(room)), Deadline::now());
        model_.heed(status);
        if (status == Status::ok) model_.found(std::string_view(room).substr(0, size), true);
        break;
      }
      case PipeStep::recv_each: {
        std::vector<std::string> messages;
        const auto [status, count] = in_->recv_each(messages, 4, Deadline::now());
        model_.heed(status);
        expect(messages.size() == count && count <= 4);
        for (const std::string& message : messages) model_.found(message, true);
        break;
      }
      case PipeStep::skip:
        model_.skipped(in_->skip());
        break;
      case PipeStep::poll:
        static_cast<void>(in_->poll());
        break;
      case PipeStep::ask:
        ask(*in_);
        break;
      case PipeStep::close_in:
        in_->close();
        break;
      default:
        peek(action);
    }
  }

  void receive_text(const Action& action) {
    std::string text;
    const Status status =
        in_->recv(text, std::chrono::microseconds(action.step == PipeStep::wait ? 5 : 0));
    model_.heed(status);
    if (status == Status::ok) model_.found(text, true);
    std::vector<std::byte> bytes;
    if (status == Status::ok && (action.what & 1) != 0 && in_->try_recv(bytes) == Status::ok) {
      model_.found({reinterpret_cast<char*>(bytes.data()), bytes.size()}, true);
    }
  }

  void peek(const Action& action) {
    if (action.step == PipeStep::recv_at_most) {
      std::string text;
      const auto [status, size] = in_->recv_at_most(action.value % 512, text, Deadline::now());
      model_.heed(status);
      if (status == Status::ok) model_.found(text, true);
    } else if (action.step == PipeStep::peek && !lease_) {
      lease_.emplace(*in_, Deadline::now());
      model_.heed(lease_->status());
      if (*lease_) model_.found(leased(), false);
      if (!*lease_) lease_.reset();
    } else if (action.step == PipeStep::release && lease_) {
      model_.found(leased(), true);
      lease_->release();
      lease_.reset();
    } else if (action.step == PipeStep::let_be) {
      lease_.reset();
    }
  }
  [[nodiscard]] std::string_view leased() const {
    return {reinterpret_cast<const char*>(lease_->bytes().data()), lease_->bytes().size()};
  }

  template <class End>
  static void ask(End& end) {
    std::ostringstream out;
    out << end << end.peer();
    static_cast<void>(end.status());
    static_cast<void>(end.max_message());
    static_cast<void>(end.capacity());
  }

  std::optional<Out>& out_;
  std::optional<In>& in_;
  Model model_;
  std::uint64_t serial_ = 0;
  std::optional<typename Out::Reservation> room_;
  std::optional<typename In::Lease> lease_;
};

UniqueFd copy_of(const UniqueFd& fd) { return UniqueFd(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)); }

/// A pipe, and what is known of it.
class PipeRun {
 public:
  explicit PipeRun(std::size_t capacity) : PipeRun(Pipe::create(capacity)) {}

  Traffic<Sender, Receiver>& traffic(std::uint8_t) { return traffic_; }
  [[nodiscard]] Peer& peer() { return peer_; }

  void attach(bool receives, std::uint8_t) {
    traffic_.let_go();
    traffic_.model().attached(receives);
    try {
      if (receives) {
        rx_.reset();
        rx_ = Receiver::from_fd(copy_of(fd_));
      } else {
        tx_.reset();
        tx_ = Sender::from_fd(copy_of(fd_));
      }
    } catch (const Error&) {
      return;  // what is there is no pipe any more
    }
  }
  void overwritten(std::size_t at, std::size_t size) { traffic_.model().overwritten(at, size); }
  void end() {
    traffic_.let_go();
    if (!rx_ || rx_->closed()) attach(true, 0);
    traffic_.drain();
  }

 private:
  explicit PipeRun(Pipe pipe)
      : fd_(pipe.sender.fd()),
        peer_(fd_.get()),
        tx_(std::move(pipe.sender)),
        rx_(std::move(pipe.receiver)),
        traffic_(tx_, rx_,
                 Model(internal::kPipeRingOffset, tx_->max_in_place(), tx_->max_message())) {}

  UniqueFd fd_;
  Peer peer_;
  std::optional<Sender> tx_;
  std::optional<Receiver> rx_;
  Traffic<Sender, Receiver> traffic_;
};

/// A connection: direction 0 is what its first end sends.
class ConnectionRun {
 public:
  explicit ConnectionRun(std::size_t capacity)
      : ConnectionRun(Connection::pair({.capacity = capacity, .max_message = 2 * capacity}),
                      capacity) {}

  Traffic<Connection, Connection>& traffic(std::uint8_t what) {
    return (what & kOtherDirection) == 0 ? forth_ : back_;
  }
  [[nodiscard]] Peer& peer() { return peer_; }

  void attach(bool receives, std::uint8_t what) {
    const bool second = receives == ((what & kOtherDirection) == 0);
    forth_.let_go();
    back_.let_go();
    forth_.model().attached(second);
    back_.model().attached(!second);
    std::optional<Connection>& end = second ? second_ : first_;
    try {
      end.reset();
      end =
          Connection::from_fd(copy_of(fd_), second ? ConnectionEnd::second : ConnectionEnd::first);
    } catch (const Error&) {
      return;  // what is there is no connection any more
    }
  }
  void overwritten(std::size_t at, std::size_t size) {
    forth_.model().overwritten(at, size);
    back_.model().overwritten(at, size);
  }
  void end() {
    forth_.let_go();
    back_.let_go();
    if (!first_ || first_->closed()) attach(false, 0);
    if (!second_ || second_->closed()) attach(true, 0);
    forth_.drain();
    back_.drain();
  }

 private:
  ConnectionRun(ConnectionPair pair, std::size_t capacity)
      : fd_(pair.first.fd()),
        peer_(fd_.get()),
        first_(std::move(pair.first)),
        second_(std::move(pair.second)),
        forth_(first_, second_,
               Model(internal::kConnectionRingOffset + ByteRing::bytes_for(capacity),
                     first_->max_in_place(), first_->max_message())),
        back_(
            second_, first_,
            Model(internal::kConnectionRingOffset, first_->max_in_place(), first_->max_message())) {
  }

  UniqueFd fd_;
  Peer peer_;
  std::optional<Connection> first_;
  std::optional<Connection> second_;
  Traffic<Connection, Connection> forth_;
  Traffic<Connection, Connection> back_;
};

template <class Run>
void scribble_near(Run& run, const Action& action, std::size_t capacity) {
  const std::size_t ring = run.traffic(action.what).model().ring();
  const std::uint64_t behind = std::uint64_t{action.where} % 64 * 8;
  const std::size_t at =
      ring + kRingBytes + (run.peer().word(ring + kRingHead) / 8 * 8 + behind) % capacity;
  run.peer().write(at, action.value, 8);
  run.overwritten(at, 8);
}

template <class Run>
void perform(Run& run, const Action& action, std::size_t capacity) {
  switch (action.step) {
    case PipeStep::scribble: {
      const std::size_t at = action.where % run.peer().size();
      const std::size_t size = action.what % 8 + 1;
      run.peer().write(at, action.value, size);
      run.overwritten(at, size);
      break;
    }
    case PipeStep::scribble_near:
      scribble_near(run, action, capacity);
      break;
    case PipeStep::attach_out:
    case PipeStep::attach_in:
      run.attach(action.step == PipeStep::attach_in, action.what);
      break;
    default:
      run.traffic(action.what).perform(action);
  }
}

template <class Run>
void use(std::size_t capacity, const std::vector<Action>& actions) {
  Run run(capacity);
  for (const Action& action : actions) perform(run, action, capacity);
  run.end();
}

}  // namespace
}  // namespace sluice::fuzz

// libFuzzer's names and signatures.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::fuzz;
  const std::span<const std::uint8_t> input(data, size);
  if (input.size() < kPipeInputHeader) return 0;
  const std::size_t capacity = std::size_t{128} << (input[0] >> 1 & 3);
  const std::vector<Action> actions = actions_of(input.subspan(kPipeInputHeader));
  if ((input[0] & 1) == 0) {
    use<PipeRun>(capacity, actions);
  } else {
    use<ConnectionRun>(capacity, actions);
  }
  return 0;
}
