// SPDX-License-Identifier: Apache-2.0
//
// Internal: the names of types, for people. If a process dies here: pure functions.

#ifndef SLUICE_POOL_TYPE_NAME_H_
#define SLUICE_POOL_TYPE_NAME_H_

#include <string>
#include <typeinfo>

namespace sluice::internal {

/// "my::Worker<int>" of what the compiler calls it; that itself if it can't be read.
std::string readable_name(const std::string& mangled);
std::string readable_name_of(const std::type_info& type);

/// "Worker" of that.
std::string short_name_of(const std::type_info& type);

}  // namespace sluice::internal

#endif  // SLUICE_POOL_TYPE_NAME_H_
