// SPDX-License-Identifier: Apache-2.0
//
// Lets the inspector look at arbitrary bytes as at an object of each kind. Whatever they are, it
// describes them, in printable text; it doesn't crash, doesn't hang, and allocates no more than it
// says.
//
//   ./bazelw test //fuzz:inspect_corpus_test                   # the corpus, with any compiler
//   ./bazelw run --config=fuzz //fuzz:inspect_fuzz -- -max_len=16384 $PWD/fuzz/corpus/inspect
//
// Run so, it is given its dictionary; what is run by hand wants
// -dict=fuzz/dictionaries/inspect.dict (dictionaries.h).
//
// Input: byte 0: the kind, modulo kKinds | byte 1: how it is looked at, Look, or-ed | byte 2: how
// many 128ths of the file are cut off | the object's bytes; where they are short of a page, zeroes.
// inspect_seeds.cc makes the corpus.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/fuzz/corpus.h"
#include "sluice/fuzz/inspect_input.h"
#include "sluice/ipc/inspect.h"
#include "sluice/ipc/mapped_file.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::fuzz {

const char* const kCorpus = "fuzz/corpus/inspect";

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kLargest = 16 * kPage;

void expect(bool truth) {
  if (!truth) std::abort();
}

std::vector<std::byte> file_of(std::span<const std::uint8_t> data) {
  const InspectedKind& kind = kInspectedKinds[data[0] % kInspectedKinds.size()];
  const auto object =
      data.subspan(kInspectHeader).first(std::min(data.size() - kInspectHeader, kLargest));
  const std::size_t pages = std::max<std::size_t>((object.size() + kPage - 1) / kPage, 1);
  std::vector<std::byte> file((pages + 1) * kPage);
  const Stamp stamp =
      make_stamp({.name = kind.name, .version = 1, .fingerprint = kind.fingerprint()},
                 Lifetime::until_removed, file.size());
  std::memcpy(file.data(), &stamp, sizeof stamp);
  write_type_name(file, kind.type);
  const std::uint64_t registry = (data[1] & kForeign) != 0 ? 1 : stamp.incarnation;
  std::memcpy(&file[MappedFile::kRegistryOffset], &registry, sizeof registry);
  std::copy_n(std::as_bytes(object).begin(), object.size(), file.begin() + kObjectOffset);
  if ((data[1] & kOwnIncarnation) != 0) {
    // So that locks are found: wherever the bytes say "here", the registry's number.
    for (std::size_t at = kObjectOffset; at + 4 <= file.size(); at += 4) {
      std::uint32_t word = 0;
      std::memcpy(&word, &file[at], sizeof word);
      if (word == kHere) std::memcpy(&file[at], &stamp.incarnation, sizeof word);
    }
  }
  const std::size_t kept = file.size() - file.size() * (data[2] % 128) / 128;
  return {file.data(), file.data() + kept};
}

void look_at(std::span<const std::uint8_t> data) {
  const std::vector<std::byte> file = file_of(data);
  const UniqueFd fd(memfd_create("inspected", MFD_CLOEXEC));
  if (pwrite(fd.get(), file.data(), file.size(), 0) != static_cast<ssize_t>(file.size())) {
    throw std::runtime_error("no memfd for the fuzzed bytes");
  }
  const bool as_file = (data[1] & kAsFile) != 0;
  const ObjectInfo object =
      as_file ? describe_file(Domain::current(), "/proc/self/fd/" + std::to_string(fd.get()))
              : describe_object(Domain::current(), fd.get(), "fuzzed");
  std::ostringstream out;
  print_details(out, object);
  out << object;
  const std::string text = out.str();
  expect(text.size() < 64 * kPage);
  expect(std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c == '\n' || std::isprint(c) != 0; }));
}

}  // namespace
}  // namespace sluice::fuzz

// libFuzzer's names and signatures.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size >= sluice::fuzz::kInspectHeader) sluice::fuzz::look_at({data, size});
  return 0;
}
