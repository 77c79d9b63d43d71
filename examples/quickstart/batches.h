// SPDX-License-Identifier: Apache-2.0
//
// Cuts the input into numbered batches of whole lines.

#ifndef SLUICE_EXAMPLES_QUICKSTART_BATCHES_H_
#define SLUICE_EXAMPLES_QUICKSTART_BATCHES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "sluice/examples/quickstart/input.h"
#include "sluice/examples/quickstart/wire.h"

namespace quickstart {

/// Where to cut `text`, of which more follows: behind the last line that is whole; if there is
/// none, behind the last byte that is in no word; if there is none either, at the end, which then
/// is a place where count() cuts the long run of word bytes as well.
std::size_t place_to_cut(std::string_view text);

class BatchReader {
 public:
  explicit BatchReader(const Input& input) : reader_(input) {}

  /// The next batch, nothing at the end. A batch does not span files. Throws InputError.
  std::unique_ptr<Batch> next();

 private:
  InputReader reader_;
  std::string carried_;  // read from the current file, but behind the last batch's cut
  std::uint64_t number_ = 0;
};

}  // namespace quickstart

#endif  // SLUICE_EXAMPLES_QUICKSTART_BATCHES_H_
