// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/harness/conditions.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <ctime>
#include <fstream>

namespace sluice::bench {
namespace {

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

std::string kernel() {
  utsname name{};
  if (::uname(&name) != 0) return "unknown";
  return std::string(name.sysname) + " " + name.release + " " + name.machine;
}

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

/// What the flags made of this file, which is compiled as the rest is.
std::string flags() {
  std::string text = "C++ " + std::to_string(__cplusplus);
#if defined(SLUICE_BENCH_COMPILATION_MODE)
  text += ", bazel -c " SLUICE_BENCH_COMPILATION_MODE;
#endif
#if defined(__OPTIMIZE__)
  text += ", optimised";
#else
  text += ", NOT optimised";
#endif
#if defined(NDEBUG)
  text += ", no assertions";
#else
  text += ", assertions";
#endif
#if defined(__AVX512F__)
  text += ", AVX-512";
#elif defined(__AVX2__)
  text += ", AVX2";
#else
  text += ", baseline instructions";
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  text += ", SANITIZER";
#endif
  return text;
}

std::string load_average() {
  std::ifstream file("/proc/loadavg");
  std::string one;
  std::string five;
  std::string fifteen;
  file >> one >> five >> fifteen;
  return one + " " + five + " " + fifteen;
}

std::string date() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  char text[32] = "";
  if (::gmtime_r(&now, &utc) != nullptr) {
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  }
  return text;
}

}  // namespace

Conditions conditions_now(const Placement& placement) {
  return {{"cpu", cpu_model()},
          {"cpus_online", std::to_string(::sysconf(_SC_NPROCESSORS_ONLN))},
          {"placement", placement.describe()},
          {"kernel", kernel()},
          {"compiler", compiler()},
          {"flags", flags()},
          {"load_average", load_average()},
          {"date", date()}};
}

}  // namespace sluice::bench
