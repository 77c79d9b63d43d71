// SPDX-License-Identifier: Apache-2.0
//
// A main() for a fuzz target without a fuzzer, with any compiler: replays the files named on the
// command line, and those in the directories named, and then --random=N inputs (1000 unless told),
// the same each time, or others with SLUICE_TEST_SEED. Says which input it was that crashed, or
// took more than 10 s.
//
//   cc_test(name = "my_fuzz_test", srcs = ["my_fuzz.cc"], data = glob(["corpus/*"]),
//           args = ["corpus"], deps = [":my_queue", "@sluice//testkit:fuzz_replay", ...])

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/testkit/test_seed.h"

// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
/// Called first, if there is one, as libFuzzer does.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" [[gnu::weak]] int LLVMFuzzerInitialize(int* argc, char*** argv);

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr unsigned kLimit = 10;  // seconds

// Of the input that is being replayed, for the handler.
std::array<char, 4096> g_name = {};

void say(std::string_view text) {
  if (write(STDERR_FILENO, text.data(), text.size()) < 0) return;
}

void tell_and_die(int signal_number) {
  say(signal_number == SIGALRM ? "hangs on " : "dies of ");
  say(g_name.data());
  say("\n");
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void replay(const std::string& name, const Bytes& input) {
  g_name[name.copy(g_name.data(), g_name.size() - 1)] = '\0';
  alarm(kLimit);
  LLVMFuzzerTestOneInput(input.data(), input.size());
  alarm(0);
}

void replay_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  replay(path.string(), Bytes(std::istreambuf_iterator<char>(file), {}));
}

std::size_t replay_all(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) {
    replay_file(path);
    return 1;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());  // the same order everywhere
  for (const auto& file : files) replay_file(file);
  return files.size();
}

void replay_random(std::uint64_t count) {
  const std::uint64_t seed = sluice::testkit::test_seed();
  for (std::uint64_t n = 0; n < count; ++n) {
    std::mt19937_64 random(seed * 1'000'003 + n);
    Bytes input(random() % 512);
    for (std::uint8_t& byte : input) byte = static_cast<std::uint8_t>(random());
    replay("random input " + std::to_string(n) + " of seed " + std::to_string(seed), input);
  }
}

int replay_what_is_named(std::span<char*> arguments) {
  constexpr std::string_view kRandom = "--random=";
  std::uint64_t random = 1000;
  std::size_t files = 0;
  for (const std::string_view argument : arguments) {
    if (argument.starts_with(kRandom)) {
      random = std::stoull(std::string(argument.substr(kRandom.size())));
    } else {
      files += replay_all(argument);
    }
  }
  replay_random(random);
  std::cout << files << " files and " << random << " random inputs replayed\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  for (const int number : {SIGABRT, SIGALRM, SIGBUS, SIGFPE, SIGILL, SIGSEGV}) {
    signal(number, tell_and_die);
  }
  try {
    if (LLVMFuzzerInitialize != nullptr) static_cast<void>(LLVMFuzzerInitialize(&argc, &argv));
    return replay_what_is_named(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
