// SPDX-License-Identifier: Apache-2.0

#include "sluice/fuzz/dictionaries.h"

#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sluice/fuzz/inspect_input.h"
#include "sluice/ipc/array.h"
#include "sluice/ipc/codec.h"
#include "sluice/ipc/pipe.h"
#include "sluice/ipc/pipe_layout.h"
#include "sluice/ipc/shareable_list.h"
#include "sluice/ipc/stamp.h"
#include "sluice/lockfree/cell_word.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/tests/ipc/codec_types.h"

namespace sluice::fuzz {
namespace {

using Words = std::vector<DictionaryWord>;

std::string read_from(const UniqueFd& fd, std::size_t at, std::size_t size) {
  std::string bytes(size, '\0');
  if (pread(fd.get(), bytes.data(), size, static_cast<off_t>(at)) != static_cast<ssize_t>(size)) {
    throw std::runtime_error("cannot read what a dictionary is made of");
  }
  return bytes;
}

std::string bytes_of(std::span<const std::byte> bytes) {
  std::string text(bytes.size(), '\0');
  std::memcpy(text.data(), bytes.data(), bytes.size());
  return text;
}
template <class Number>
std::string bytes_of_number(Number number) {
  return bytes_of(std::as_bytes(std::span(&number, 1)));
}

/// What each object begins with. The kind with the zeroes behind it: one is another's beginning.
Words stamp_words(const UniqueFd& fd) {
  return {{"magic", read_from(fd, offsetof(Stamp, magic), sizeof(Stamp::magic))},
          {"order_and_version", read_from(fd, offsetof(Stamp, byte_order), 8)}};
}
DictionaryWord kind_word(const UniqueFd& fd) {
  const std::string kind = read_from(fd, offsetof(Stamp, kind), sizeof(Stamp::kind));
  return {"kind_" + std::string(kind.c_str()), kind};
}

/// The word before a message, in a pipe of ours.
DictionaryWord record_word(Pipe& pipe) {
  constexpr std::size_t kRecords = kObjectOffset + internal::kPipeRingOffset + 3 * kNoSharing;
  if (pipe.sender.try_send("one") != Status::ok) {
    throw std::runtime_error("a pipe of our own does not work");
  }
  return {"message_of_3", read_from(pipe.sender.fd(), kRecords, 8)};
}

Dictionary attach_dictionary() {
  Pipe pipe = Pipe::create(128);
  Words words = stamp_words(pipe.sender.fd());
  words.push_back(kind_word(pipe.sender.fd()));
  words.push_back(record_word(pipe));
  return {"attach", words};
}

Dictionary array_dictionary() {
  const Array<std::int64_t> array(4);
  const ShareableList list({1, "two"});
  Words words = stamp_words(array.fd());
  words.push_back(kind_word(array.fd()));
  words.push_back(kind_word(list.fd()));
  words.push_back({"type_of_items", read_from(array.fd(), offsetof(Stamp, fingerprint),
                                              sizeof(Stamp::fingerprint))});
  return {"array", words};
}

Dictionary inspect_dictionary() {
  Pipe pipe = Pipe::create(128);
  return {"inspect", {{"own_registry", bytes_of_number(kHere)}, record_word(pipe)}};
}

Dictionary registry_dictionary() {
  const UniqueFd registry = Domain::current().open_registry();
  return {"registry",
          {{"magic", read_from(registry, 0, 8)},
           {"version_and_size", read_from(registry, 8, 8)},
           {"used_up", bytes_of_number(~std::uint32_t{0})},
           {"almost_used_up", bytes_of_number(~std::uint32_t{0} - 1)}}};
}

Dictionary codec_dictionary() {
  using Any = std::vector<std::variant<bool, std::string, std::vector<double>>>;
  return {"codec",
          {{"no_elements", bytes_of(encode(std::string()))},
           {"text", bytes_of(encode(std::string("text")))},
           {"empty_texts", bytes_of(encode(std::vector<std::string>(2)))},
           {"nullopt", bytes_of(encode(std::optional<std::int32_t>()))},
           {"number", bytes_of(encode(std::optional<std::int32_t>(1)))},
           {"person", bytes_of(encode(tests::Person{"A", {"B"}, 3}))},
           {"tree", bytes_of(encode(tests::Tree{7, {tests::Tree()}}))},
           {"variants", bytes_of(encode(Any{true, "a", std::vector<double>{1}}))},
           {"nothings", bytes_of(encode(std::vector<tests::Nothing>(2)))}}};
}

Dictionary queue_dictionary() {
  using internal::CellWord;
  using State = CellWord::State;
  return {"queue",
          {{"full", bytes_of_number(CellWord::make(0, State::full))},
           {"offered_again", bytes_of_number(CellWord::offered_again(0))},
           {"next_lap", bytes_of_number(CellWord::make(1, State::empty))},
           {"being_written", bytes_of_number(CellWord::claimed(0, State::writing, 1))},
           {"being_read", bytes_of_number(CellWord::claimed(0, State::reading, 1))},
           {"long_run",
            bytes_of_number(CellWord::claimed(0, State::reading, 1, CellWord::kLongestRun))}}};
}

}  // namespace

std::vector<Dictionary> all_dictionaries() {
  return {attach_dictionary(),   array_dictionary(), inspect_dictionary(),
          registry_dictionary(), codec_dictionary(), queue_dictionary()};
}

std::string text_of(const Dictionary& dictionary) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text =
      "# SPDX-License-Identifier: Apache-2.0\n"
      "#\n"
      "# Made by: ./bazelw run //fuzz:make_dictionaries -- $PWD/fuzz/dictionaries\n";
  for (const DictionaryWord& word : dictionary.words) {
    text += word.name + "=\"";
    for (const char c : word.bytes) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte > ' ' && byte < 0x7f && c != '"' && c != '\\') {
        text += c;
      } else {
        text += {'\\', 'x', kDigits[byte / 16], kDigits[byte % 16]};
      }
    }
    text += "\"\n";
  }
  return text;
}

}  // namespace sluice::fuzz
