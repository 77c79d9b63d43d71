// SPDX-License-Identifier: Apache-2.0
//
// Decodes arbitrary bytes as values of several types. Whatever the bytes, the calls end with a
// Status; they don't crash, don't hang, read nothing outside of the bytes, and allocate no more
// than the bytes can be worth. What is accepted is a value: encoded and decoded again it is the
// same.
//
//   ./bazelw test //fuzz:codec_corpus_test                   # the corpus, with any compiler
//   ./bazelw run --config=fuzz //fuzz:codec_fuzz -- -max_len=4096 $PWD/fuzz/corpus/codec
//
// Run so, it is given its dictionary; what is run by hand wants
// -dict=fuzz/dictionaries/codec.dict (dictionaries.h).
//
// An input is a byte that chooses the type, and the bytes. codec_seeds.cc makes the corpus.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sluice/ipc/codec.h"
#include "sluice/tests/ipc/codec_types.h"

namespace sluice::fuzz {
namespace {

template <class T>
void decode_as(std::span<const std::byte> bytes) {
  T value{};
  if (decode(bytes, value) != Status::ok) return;
  const std::vector<std::byte> again = encode(value);
  T back{};
  // Sets and maps may have come in another order than theirs, but not in another size.
  if (again.size() != bytes.size() || encoded_size(value) != again.size() ||
      decode(again, back) != Status::ok || encode(back).size() != again.size()) {
    std::abort();
  }
}

void run(std::span<const std::uint8_t> data) {
  if (data.empty()) return;
  // A copy of exactly that size, so that AddressSanitizer sees one byte too many.
  const auto copy = std::make_unique<std::byte[]>(data.size() - 1);
  const auto source = std::as_bytes(data.subspan(1));
  std::copy(source.begin(), source.end(), copy.get());
  const std::span<const std::byte> bytes(copy.get(), source.size());
  switch (data[0] % 6) {
    case 0:
      return decode_as<tests::Everything>(bytes);
    case 1:
      return decode_as<tests::Tree>(bytes);
    case 2:
      return decode_as<std::vector<tests::Person>>(bytes);
    case 3:
      return decode_as<std::map<std::string, std::vector<std::vector<std::string>>>>(bytes);
    case 4:
      return decode_as<std::vector<std::variant<bool, std::string, std::vector<double>>>>(bytes);
    default:
      return decode_as<std::vector<tests::Nothing>>(bytes);
  }
}

}  // namespace
}  // namespace sluice::fuzz

// libFuzzer's names and signatures.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sluice::fuzz::run({data, size});
  return 0;
}
