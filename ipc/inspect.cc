// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/inspect.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <iomanip>
#include <ostream>
#include <span>
#include <sstream>

#include "sluice/ipc/inspect_queue.h"
#include "sluice/ipc/pipe_layout.h"
#include "sluice/ipc/queue_parts.h"
#include "sluice/ipc/segment.h"
#include "sluice/lockfree/byte_ring.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/file_hold.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/registry_format.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/sync/word.h"

namespace sluice {
namespace {

using internal::EndWord;
using internal::PipeControl;
using internal::PipeSide;

constexpr std::string_view kObjectPrefix = "obj-";
/// Larger objects are not copied: their counters are described, their messages are not looked at.
constexpr std::uint64_t kCopyUpTo = std::uint64_t{16} << 20;
/// How often the counters of a busy object are read until they fit each other.
constexpr int kMostReads = 3;
constexpr std::size_t kPipeHead = internal::kPipeRingOffset + 3 * kNoSharing;

std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return std::isprint(c) == 0; }, '?');
  return text;
}

std::string hex(std::uint64_t number) {
  std::ostringstream out;
  out << "0x" << std::hex << number;
  return out.str();
}

/// A private copy of the first bytes of an object, aligned as the original.
class Copy {
 public:
  /// Empty if the file does not hold `size` bytes of object.
  static std::optional<Copy> read(int fd, std::size_t size) {
    Copy copy(size);
    if (!internal::read_at(fd, copy.bytes().data(), size, kObjectOffset)) return std::nullopt;
    return copy;
  }

  [[nodiscard]] std::span<std::byte> bytes() {
    return std::as_writable_bytes(std::span(lines_)).first(size_);
  }

 private:
  struct alignas(kNoSharing) Line {
    std::array<std::byte, kNoSharing> bytes;
  };

  explicit Copy(std::size_t size) : lines_((size + sizeof(Line) - 1) / sizeof(Line)), size_(size) {}

  std::vector<Line> lines_;
  std::size_t size_;
};

/// A pipe's words as they were at one time.
struct PipeSnapshot {
  std::array<EndWord, 2> ends;
  std::array<bool, 2> may_sleep;
  ByteRing::Counters ring;
};

std::optional<PipeSnapshot> read_pipe(int fd) {
  std::optional<Copy> copy = Copy::read(fd, kPipeHead);
  if (!copy) return std::nullopt;
  const auto* const control = internal::attach_object<PipeControl>(copy->bytes());
  const auto ring = ByteRing::counters(copy->bytes().subspan(internal::kPipeRingOffset));
  if (control == nullptr || !ring) return std::nullopt;
  const auto end = [&](PipeSide side) {
    // Relaxed: a word of a private copy.
    return EndWord::unpack(internal::RealEnv::load(control->ends[internal::index_of(side)],
                                                   std::memory_order_relaxed));
  };
  return PipeSnapshot{{end(PipeSide::receiver), end(PipeSide::sender)},
                      {control->data.maybe_waiting(), control->space.maybe_waiting()},
                      *ring};
}

/// What no correct process could have written; empty if there is nothing.
std::string ring_fault(const ByteRing::Counters& ring, std::uint64_t room) {
  if (!std::has_single_bit(ring.capacity) || ring.capacity < ByteRing::kMinCapacity ||
      ring.capacity > ByteRing::kMaxCapacity || ByteRing::bytes_for(ring.capacity) > room) {
    return "a capacity of " + std::to_string(ring.capacity) + " bytes in an object of " +
           std::to_string(room);
  }
  // The tail is a hint that a crash leaves behind by a record, so it may also be below the head.
  const std::uint64_t apart = std::min(ring.tail - ring.head, ring.head - ring.tail);
  if (apart > ring.capacity || ring.head % 8 != 0 || ring.tail % 8 != 0) {
    return "impossible positions: " + std::to_string(ring.tail) + " bytes in, " +
           std::to_string(ring.head) + " bytes out, " + std::to_string(ring.capacity) + " of room";
  }
  return "";
}

struct Messages {
  std::uint64_t waiting = 0;
  std::uint64_t next_size = 0;
  bool corrupt = false;
};

/// Reads through the messages as a receiver would, in a private copy of the ring.
Messages read_messages(std::span<std::byte> ring) {
  Messages found;
  ByteRing::Consumer consumer(ring);
  for (std::uint64_t bytes = 0; bytes <= consumer.capacity();) {
    const auto record = consumer.try_peek();
    if (!record) {
      found.corrupt = consumer.status() == Status::corrupt;
      return found;
    }
    if (found.waiting++ == 0) found.next_size = record->payload.size();
    bytes += 8 + record->payload.size();
    consumer.release();
  }
  found.corrupt = true;  // more than fits: it goes round in circles
  return found;
}

bool same_positions(const ByteRing::Counters& a, const ByteRing::Counters& b) {
  return a.tail == b.tail && a.head == b.head;
}

/// The messages, if the pipe rested while it was copied.
std::optional<Messages> messages_of(int fd, const ByteRing::Counters& before) {
  const std::size_t size = internal::kPipeRingOffset + ByteRing::bytes_for(before.capacity);
  if (size > kCopyUpTo) return std::nullopt;
  std::optional<Copy> copy = Copy::read(fd, size);
  const std::optional<PipeSnapshot> after = read_pipe(fd);
  if (!copy || !after || !same_positions(before, after->ring)) return std::nullopt;
  const std::span<std::byte> ring = copy->bytes().subspan(internal::kPipeRingOffset);
  const auto copied = ByteRing::counters(ring);
  if (!copied || !same_positions(before, *copied) || copied->capacity != before.capacity) {
    return std::nullopt;
  }
  return read_messages(ring);
}

OwnerInfo owner_of(Domain& domain, const ObjectInfo& object, PipeSide side, EndWord word) {
  constexpr std::array<std::string_view, 4> kStates = {"vacant", "offered", "open", "closed"};
  OwnerInfo owner;
  owner.role = side == PipeSide::receiver ? "receiver" : "sender";
  owner.state = word.is_valid() ? kStates[static_cast<std::size_t>(word.state)] : "corrupt";
  owner.tag = word.tag;
  if (object.stamp->incarnation != domain.incarnation() || word.tag == participant::kNobody) {
    return owner;  // tags of another registry mean other processes
  }
  owner.liveness = participant::probe(domain, word.tag);
  if (const auto record = participant::describe(domain, word.tag)) {
    owner.pid = record->pid;
    owner.process = printable(record->name);
    owner.left = record->left;
  }
  return owner;
}

void describe_ends(Domain& domain, const PipeSnapshot& pipe, ObjectInfo& object) {
  for (const PipeSide side : {PipeSide::receiver, PipeSide::sender}) {
    const EndWord word = pipe.ends[internal::index_of(side)];
    object.owners.push_back(owner_of(domain, object, side, word));
    if (!word.is_valid()) {
      object.faults.push_back("the word of the " + object.owners.back().role +
                              "'s end: " + hex(word.packed()));
    }
  }
  if (pipe.may_sleep[0]) object.waiting.emplace_back("receiver, for a message");
  if (pipe.may_sleep[1]) object.waiting.emplace_back("sender, for room");
}

void describe_ring(const ByteRing::Counters& ring, ObjectInfo& object) {
  const std::uint64_t fill =
      static_cast<std::int64_t>(ring.tail - ring.head) < 0 ? 0 : ring.tail - ring.head;
  object.counters = {{"capacity", ring.capacity, "bytes"},
                     {"bytes in", ring.tail, "bytes"},
                     {"bytes out", ring.head, "bytes"},
                     {"fill", fill, "bytes"},
                     {"messages in", ring.records_in, "messages"},
                     {"messages out", ring.records_out, "messages"}};
}

void describe_messages(const Messages& messages, ObjectInfo& object) {
  object.counters.push_back({"messages to be received", messages.waiting, "messages"});
  if (messages.waiting > 0) {
    object.counters.push_back({"next message", messages.next_size, "bytes"});
  }
  if (messages.corrupt) {
    object.faults.push_back("after " + std::to_string(messages.waiting) +
                            " messages, bytes that are no message");
  }
}

void describe_pipe(Domain& domain, int fd, ObjectInfo& object) {
  const std::uint64_t room = object.file_size - kObjectOffset;
  std::optional<PipeSnapshot> pipe;
  std::optional<Messages> messages;
  std::string fault;
  // Words that are written while they are read may not fit each other: what is wrong with a busy
  // pipe is gone at the next look.
  for (int attempt = 0; attempt < kMostReads; ++attempt) {
    pipe = read_pipe(fd);
    if (!pipe) {
      object.faults.push_back(std::to_string(room) + " bytes, too few for a pipe");
      return;
    }
    fault = ring_fault(pipe->ring, room - internal::kPipeRingOffset);
    if (!fault.empty()) continue;
    messages = messages_of(fd, pipe->ring);
    if (!messages || !messages->corrupt) break;
  }
  describe_ends(domain, *pipe, object);
  describe_ring(pipe->ring, object);
  if (!fault.empty()) {
    object.faults.push_back(std::move(fault));
  } else if (messages) {
    describe_messages(*messages, object);
  }
}

bool is_of_version(ObjectInfo& object, std::uint32_t version) {
  if (object.stamp->kind_version == version) return true;
  object.faults.push_back("layout version " + std::to_string(object.stamp->kind_version) +
                          ", this program reads " + std::to_string(version));
  return false;
}

void describe_kind(Domain& domain, int fd, ObjectInfo& object) {
  if (!object.stamp) return;
  if (object.kind() == internal::kPipeKind.name &&
      is_of_version(object, internal::kPipeKind.version)) {
    describe_pipe(domain, fd, object);
  }
  if (object.kind() == internal::kQueueKindName && is_of_version(object, internal::kQueueVersion)) {
    internal::describe_queue(domain, fd, object);
  }
}

Usage usage_of(int fd, const struct stat& s) {
  if (s.st_nlink == 0) return Usage::unknown;
  try {
    return internal::FileHold::is_held(fd, Segment::kInUseByte) ? Usage::in_use : Usage::unused;
  } catch (const Error&) {
    return Usage::unknown;
  }
}

void describe_stamp(Domain& domain, int fd, ObjectInfo& object) {
  Stamp stamp = {};
  if (object.file_size < kObjectOffset || !internal::read_at(fd, &stamp, sizeof stamp, 0)) {
    object.faults.push_back(std::to_string(object.file_size) + " bytes, too few for a segment");
    return;
  }
  if (std::string fault = stamp_fault(stamp, object.file_size); !fault.empty()) {
    object.faults.push_back(std::move(fault));
    return;
  }
  if (stamp.incarnation != domain.incarnation()) {
    object.faults.push_back("made under registry " + hex(stamp.incarnation) + ", this is " +
                            hex(domain.incarnation()));
  }
  object.stamp = stamp;
  object.type = read_type_name(fd);
}

std::string file_type(mode_t mode) {
  return S_ISDIR(mode) ? "a directory" : S_ISLNK(mode) ? "a symbolic link" : "a special file";
}

/// What can be said without knowing the kind.
ObjectInfo look_at(Domain& domain, int fd, std::string name) {
  ObjectInfo object = {.name = printable(std::move(name))};
  struct stat s = {};
  if (fstat(fd, &s) != 0) throw Error::from_errno(errno, {.tried = "examine " + object.name});
  if (!S_ISREG(s.st_mode)) {
    object.faults.push_back(file_type(s.st_mode) + ", not a file");
    return object;
  }
  object.file_size = static_cast<std::uint64_t>(s.st_size);
  object.usage = usage_of(fd, s);
  describe_stamp(domain, fd, object);
  const mode_t allowed = object.stamp ? object.stamp->others_mode() : 0;
  if (s.st_nlink != 0 && (s.st_uid != geteuid() || (s.st_mode & 077 & ~allowed) != 0)) {
    std::ostringstream found;
    found << "owner " << s.st_uid << ", mode 0" << std::oct << (s.st_mode & 07777);
    object.faults.insert(object.faults.begin(), found.str() + ": open to other users");
  }
  return object;
}

/// Neither follows a link nor waits for the other side of a FIFO.
UniqueFd open_object(Domain& domain, const std::string& file) {
  return UniqueFd(openat(domain.directory(), file.c_str(),
                         O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

/// A name behind which there is nothing to open.
ObjectInfo unopened(std::string_view name, int error) {
  ObjectInfo object = {.name = printable(std::string(name))};
  object.faults.push_back(error == ELOOP
                              ? "a symbolic link, not a file"
                              : "can't be opened: " + std::generic_category().message(error));
  return object;
}

std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(path, error), end; !error && it != end;
       it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) throw Error(error, {.tried = "list " + path});
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

std::string ObjectInfo::kind() const { return stamp ? stamp->kind_name() : "?"; }

bool ObjectInfo::is_stale() const {
  return stamp && usage == Usage::unused && stamp->lifetime() == Lifetime::while_used;
}

std::vector<ObjectInfo> list_objects(Domain& domain) {
  std::vector<ObjectInfo> objects;
  for (const std::string& file : names_in(domain.path())) {
    if (!file.starts_with(kObjectPrefix)) continue;
    const std::string name = file.substr(kObjectPrefix.size());
    const UniqueFd fd = open_object(domain, file);
    const int error = errno;
    if (!fd && error == ENOENT) continue;  // removed since the directory was read
    objects.push_back(fd ? look_at(domain, fd.get(), name) : unopened(name, error));
  }
  return objects;
}

ObjectInfo describe_object(Domain& domain, std::string_view name) {
  if (!is_valid_name(name)) {
    throw Error::from_errno(EINVAL, {.tried = "describe \"" + printable(std::string(name)) + "\"",
                                     .expected = "1 to 200 of A-Z a-z 0-9 _ . -, no dot in front"});
  }
  const UniqueFd fd = open_object(domain, std::string(kObjectPrefix) + std::string(name));
  const int error = errno;
  if (fd) return describe_object(domain, fd.get(), std::string(name));
  if (error != ENOENT) return unopened(name, error);
  throw Error::from_errno(ENOENT, {.tried = "describe \"" + std::string(name) + "\"",
                                   .expected = "an object of that name in " + domain.path()});
}

ObjectInfo describe_object(Domain& domain, int fd, std::string name) {
  ObjectInfo object = look_at(domain, fd, std::move(name));
  describe_kind(domain, fd, object);
  return object;
}

std::vector<std::string> list_domains() {
  const std::filesystem::path own = Domain::path_of("");
  std::vector<std::string> paths;
  for (const std::string& name : names_in(own.parent_path().string())) {
    const std::string first = own.filename().string();
    if (name == first || name.starts_with(first + "-")) {
      paths.push_back((own.parent_path() / name).string());
    }
  }
  return paths;
}

namespace {

std::string state_of(const ObjectInfo& object) {
  if (object.is_stale()) return "stale";
  switch (object.usage) {
    case Usage::in_use:
      return "in use";
    case Usage::unused:
      return "unused";
    case Usage::unknown:
      break;
  }
  return "use unknown";
}

std::string lifetime_of(const ObjectInfo& object) {
  if (!object.stamp) return "?";
  return object.stamp->lifetime() == Lifetime::until_removed ? "until removed" : "while used";
}

std::string made_at(const Stamp& stamp) {
  const std::time_t seconds = stamp.made_at;
  std::tm utc = {};
  if (gmtime_r(&seconds, &utc) == nullptr) return "at no time of this calendar";
  std::ostringstream out;
  out << std::put_time(&utc, "%Y-%m-%d %H:%M:%S UTC");
  return out.str();
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const ObjectInfo& object) {
  std::ostringstream line;  // so that widths and flags of `out` neither matter nor change
  line << std::left << std::setw(24) << object.name << ' ' << std::setw(10) << object.kind() << ' '
       << std::right << std::setw(12) << object.file_size << " bytes  " << std::left
       << std::setw(13) << lifetime_of(object) << "  " << state_of(object);
  for (const std::string& fault : object.faults) line << "  FAULT: " << fault;
  return out << line.str();
}

std::ostream& operator<<(std::ostream& out, const OwnerInfo& owner) {
  std::ostringstream line;
  line << owner.role << ": " << owner.state;
  if (owner.tag != participant::kNobody) {
    line << ", tag " << owner.tag;
    if (owner.pid != 0) line << " (pid " << owner.pid << ", " << owner.process << ")";
    line << ", " << owner.liveness;
    if (owner.liveness == Liveness::dead && owner.left) line << ", ended in good order";
  }
  return out << line.str();
}

void print_details(std::ostream& out, const ObjectInfo& object) {
  std::ostringstream text;
  text << object.kind() << " \"" << object.name << "\": " << state_of(object) << ", lifetime "
       << lifetime_of(object) << ", " << object.file_size << " bytes\n";
  for (const std::string& fault : object.faults) text << "  FAULT: " << fault << '\n';
  if (object.stamp) {
    text << "  stamp: " << *object.stamp << "\n  made: " << made_at(*object.stamp) << ", registry "
         << hex(object.stamp->incarnation) << ", type " << object.type
         << (object.type.empty() ? "" : " ") << hex(object.stamp->fingerprint) << '\n';
  }
  for (const OwnerInfo& owner : object.owners) text << "  " << owner << '\n';
  for (const CounterInfo& c : object.counters) {
    text << "  " << c.name << ": " << c.value << ' ' << c.unit << '\n';
  }
  if (!object.owners.empty() && object.waiting.empty()) text << "  waiting: nobody\n";
  for (const std::string& who : object.waiting) text << "  may be waiting: " << who << '\n';
  out << text.str();
}

}  // namespace sluice
