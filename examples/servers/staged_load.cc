// SPDX-License-Identifier: Apache-2.0
//
// A load test by rule: "0:500,1:30" sends 500 requests at once at second 0, and 30 at second 1. It
// prints each request's time and draws their distribution. The server is prefork.h's.
//
//   ./bazelw run //examples/servers:staged_load -- 0:500,1:30

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <thread>
#include <vector>

#include "sluice/examples/servers/prefork.h"
#include "sluice/pool/future.h"
#include "sluice/pool/thread_pool.h"

using Clock = std::chrono::steady_clock;

int main(int argc, char** argv) {
  const std::string path = std::filesystem::temp_directory_path() / std::to_string(getpid());
  const PreforkServer server(path, 3);
  std::istringstream rule(argc > 1 ? argv[1] : "0:20,1:5");
  sluice::ThreadPool senders(512, 100'000);
  std::vector<sluice::Future<double>> requests;
  const auto begin = Clock::now();
  char sign = 0;
  for (int second = 0, count = 0; rule >> second >> sign >> count; rule >> sign) {
    std::this_thread::sleep_until(begin + std::chrono::seconds(second));
    for (int i = 0; i < count; ++i) {
      requests.push_back(senders.submit([&path, sent = Clock::now()] {
        const int client = unix_socket(path, false);
        ask(client, "GET /\n");
        close(client);
        return std::chrono::duration<double, std::milli>(Clock::now() - sent).count();
      }));
    }
  }
  std::array<int, 13> histogram = {};  // by powers of two of a millisecond
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const double ms = requests[i].get();
    std::cout << "request " << i + 1 << ": " << std::fixed << std::setprecision(2) << ms << " ms\n";
    std::size_t bucket = 0;
    while (bucket < 12 && ms > (1 << bucket) / 8.0) ++bucket;
    ++histogram[bucket];
  }
  const int most = *std::ranges::max_element(histogram);
  for (std::size_t i = 0; i < histogram.size(); ++i) {
    const auto length = static_cast<std::size_t>(60 * histogram[i] / std::max(most, 1));
    std::cout << (i < 12 ? "up to " : "above ") << std::setw(6)
              << static_cast<double>(std::size_t{1} << std::min<std::size_t>(i, 11)) / 8 << " ms "
              << std::setw(5) << histogram[i] << ' ' << std::string(length, '#') << '\n';
  }
  std::filesystem::remove(path);
}
