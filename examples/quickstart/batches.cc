// SPDX-License-Identifier: Apache-2.0

#include "sluice/examples/quickstart/batches.h"

#include <algorithm>
#include <span>

namespace quickstart {

static_assert(kBatchBytes % kLongestWord == 0, "place_to_cut() stands on it");

std::size_t place_to_cut(std::string_view text) {
  if (const std::size_t newline = text.rfind('\n'); newline != std::string_view::npos)
    return newline + 1;
  const auto last = std::find_if_not(text.rbegin(), text.rend(), is_word_byte);
  if (last != text.rend()) return static_cast<std::size_t>(text.rend() - last);
  return text.size();
}

std::unique_ptr<Batch> BatchReader::next() {
  if (carried_.empty() && reader_.at_end_of_file() && !reader_.next_file()) return nullptr;
  auto batch = std::make_unique_for_overwrite<Batch>();
  const std::span<char> room(batch->body);
  std::size_t filled = carried_.copy(room.data(), carried_.size());
  while (filled < room.size() && !reader_.at_end_of_file()) {
    filled += reader_.read(room.subspan(filled));
  }
  const std::string_view text(room.data(), filled);
  const bool rest_of_file = reader_.at_end_of_file();
  const std::size_t size = rest_of_file ? filled : place_to_cut(text);
  carried_ = text.substr(size);
  batch->number = number_++;
  batch->size = static_cast<std::uint32_t>(size);
  batch->has_open_line = rest_of_file && text.back() != '\n';
  batch->kill_parser = false;
  return batch;
}

}  // namespace quickstart
