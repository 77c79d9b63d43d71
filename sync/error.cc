// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/error.h"

#include <utility>

namespace sluice {

Error::Error(std::error_code code, ErrorText text)
    : std::system_error(code), text_(std::move(text)) {
  what_ = text_.tried + ": " + code.message();
  if (!text_.expected.empty()) what_ += "; expected " + text_.expected;
  if (!text_.found.empty()) what_ += "; found " + text_.found;
  if (!text_.hint.empty()) what_ += "; " + text_.hint;
}

}  // namespace sluice
