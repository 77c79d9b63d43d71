// SPDX-License-Identifier: Apache-2.0
//
// Attaches to an array in a file, or to a list, whose bytes are hostile, and uses it. Nothing but
// an Error may come of it: no access outside the mapping, no endless loop.
//
// Input: byte 0: Making, or-ed | byte 1: how many 128ths of the file are cut off | byte 2: number
// of scribbles | 10 bytes each: where u16, value u64, written while it is in use | the bytes.
//
//   ./bazelw test //fuzz:array_corpus_test                   # the corpus, with any compiler
//   ./bazelw run --config=fuzz //fuzz:array_fuzz -- -max_len=16384 $PWD/fuzz/corpus/array
//
// Run so, it is given its dictionary; what is run by hand wants
// -dict=fuzz/dictionaries/array.dict (dictionaries.h).

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/fuzz/corpus.h"
#include "sluice/ipc/array.h"
#include "sluice/ipc/fingerprint.h"
#include "sluice/ipc/mapped_file.h"
#include "sluice/ipc/shareable_list.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::fuzz {

const char* const kCorpus = "fuzz/corpus/array";

namespace {

using Element = std::int64_t;

enum Making : std::uint8_t {
  kObjectOnly = 1,  ///< the bytes are the object, behind a valid stamp
  kFixStamp = 2,    ///< size, registry and checksum of the stamp are put right
  kList = 4,        ///< a list is attached to, not an array
  kSameOwners = 8,  ///< the file's owners are of this registry
};

constexpr std::size_t kHeader = 3;
constexpr std::size_t kScribble = 10;
constexpr std::size_t kLargest = 16384;

SegmentKind kind_of(bool list) {
  if (list) return {.name = "shareable_list", .version = 1, .fingerprint = 0};
  return {.name = "array", .version = 1, .fingerprint = layout_fingerprint<Element>()};
}

/// A file that is removed in any case.
class File {
 public:
  explicit File(std::span<const std::byte> bytes)
      : path_("/dev/shm/sluice-fuzz-array-" + std::to_string(getpid())),
        fd_(open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
    if (pwrite(fd_.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
      throw std::runtime_error("no file for the fuzzed bytes");
    }
  }
  ~File() { unlink(path_.c_str()); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  void scribble(std::size_t at, std::uint64_t value) const {
    if (pwrite(fd_.get(), &value, sizeof value, static_cast<off_t>(at)) != sizeof value) abort();
  }

 private:
  std::string path_;
  UniqueFd fd_;
};

UniqueFd sealed_memfd(std::span<const std::byte> bytes) {
  UniqueFd fd(memfd_create("array", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (pwrite(fd.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()) ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    throw std::runtime_error("no memfd for the fuzzed bytes");
  }
  return fd;
}

struct Input {
  int making;
  std::vector<std::byte> file;
  std::vector<std::pair<std::size_t, std::uint64_t>> scribbles;
};

void put_stamp(Input& input) {
  Stamp stamp = {};
  std::memcpy(&stamp, input.file.data(), sizeof stamp);
  if ((input.making & kObjectOnly) != 0) {
    stamp = make_stamp(kind_of((input.making & kList) != 0), Lifetime::until_removed,
                       input.file.size());
  }
  stamp.total_size = input.file.size();
  stamp.incarnation = Domain::current().incarnation();
  const auto bytes = std::as_bytes(std::span(&stamp, 1));
  stamp.checksum = Fnv1a().add(bytes.first(offsetof(Stamp, checksum))).value();
  std::memcpy(input.file.data(), &stamp, sizeof stamp);
  if ((input.making & kSameOwners) == 0) return;
  std::memcpy(&input.file[MappedFile::kRegistryOffset], &stamp.incarnation, 8);
}

Input take_apart(std::span<const std::uint8_t> data) {
  Input input = {};
  if (data.size() < kHeader) return input;
  input.making = data[0];
  const std::size_t cut = data[1] % 128;
  const std::size_t count = data[2] % 16;
  data = data.subspan(kHeader);
  for (std::size_t i = 0; i < count && data.size() >= kScribble; ++i) {
    std::uint16_t where = 0;
    std::uint64_t value = 0;
    std::memcpy(&where, data.data(), sizeof where);
    std::memcpy(&value, &data[sizeof where], sizeof value);
    input.scribbles.emplace_back(where, value);
    data = data.subspan(kScribble);
  }
  const bool object_only = (input.making & kObjectOnly) != 0;
  const std::size_t begin = object_only ? kObjectOffset : 0;
  const std::size_t size = std::min(data.size(), kLargest - begin);
  const std::size_t pages = (begin + size + 4095) / 4096;
  input.file.resize(std::max<std::size_t>(pages, object_only ? 2 : 1) * 4096);
  if (size != 0) std::memcpy(&input.file[begin], data.data(), size);
  if ((input.making & (kObjectOnly | kFixStamp)) != 0) put_stamp(input);
  input.file.resize(input.file.size() - input.file.size() * cut / 128);
  return input;
}

template <class Call>
void allowing_errors(Call call) {
  try {
    call();
  } catch (const Error&) {
    return;
  } catch (const std::length_error&) {
    return;  // an item for which there is no room
  }
}

void use(const Array<Element>& array) {
  volatile std::uint64_t sum = std::accumulate(array.begin(), array.end(), std::uint64_t{0});
  static_cast<void>(sum);
  const Status status = array.mutex().acquire(Deadline::now());
  if (status == Status::ok || status == Status::owner_died) {
    array.fill(1);
    array.mutex().unlock();
  }
  std::ostringstream out;
  out << array;
}

void use(const ShareableList& list) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    allowing_errors([&] { static_cast<void>(list.get(i)); });
    allowing_errors([&] { list.set(i, "eight by"); });
    allowing_errors([&] { list.set(i, 5); });
    allowing_errors([&] { static_cast<void>(list.get(i)); });
  }
  allowing_errors([&] { static_cast<void>(list.copy()); });
}

/// A lock whose bytes say that a living thread holds it would be waited for.
bool may_lock(std::span<const std::byte> file) {
  std::uint64_t word = 0;
  std::memcpy(&word, &file[kObjectOffset], sizeof word);
  return word == 0;
}

void attach_array(const Input& input) {
  const File file(input.file);
  allowing_errors([&] {
    const auto array = Array<Element>::open_file(file.path());
    use(array);
    for (const auto& [where, value] : input.scribbles) {
      file.scribble(kObjectOffset + where % 4088, value);
      use(array);
    }
  });
}

void attach_list(const Input& input) {
  UniqueFd fd = sealed_memfd(input.file);
  const UniqueFd peer(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  allowing_errors([&] {
    const auto list = ShareableList::from_fd(std::move(fd));
    if (list.size() > 64 || !may_lock(input.file)) return;
    use(list);
    for (const auto& [where, value] : input.scribbles) {
      // All but the lock, for which somebody would wait.
      const auto at = static_cast<off_t>(kObjectOffset + 16 + where % 4064);
      if (pwrite(peer.get(), &value, sizeof value, at) != sizeof value) abort();
      use(list);
    }
  });
}

}  // namespace
}  // namespace sluice::fuzz

// libFuzzer's names and signatures.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const sluice::fuzz::Input input = sluice::fuzz::take_apart({data, size});
  if (input.file.size() < sluice::kObjectOffset || (input.making & sluice::fuzz::kList) == 0) {
    sluice::fuzz::attach_array(input);
  } else {
    sluice::fuzz::attach_list(input);
  }
  return 0;
}
