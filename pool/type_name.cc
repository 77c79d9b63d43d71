// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/type_name.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace sluice::internal {

std::string readable_name(const std::string& mangled) {
  int failed = 0;
  const std::unique_ptr<char, decltype(&std::free)> readable(
      abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &failed), &std::free);
  return readable != nullptr ? readable.get() : mangled;
}

std::string readable_name_of(const std::type_info& type) { return readable_name(type.name()); }

std::string short_name_of(const std::type_info& type) {
  std::string name = readable_name_of(type);
  name.resize(std::min(name.find('<'), name.size()));
  const auto last = name.rfind("::");
  return last == std::string::npos ? name : name.substr(last + 2);
}

}  // namespace sluice::internal
