// SPDX-License-Identifier: Apache-2.0
//
// Two threads, music and a film that takes twice as long; main's line comes before both ends. With
// `processes` the same text runs as two processes.

#include <chrono>
#include <iostream>
#include <string_view>
#include <syncstream>
#include <thread>

#include "sluice/pool/process.h"
#include "sluice/pool/thread.h"

namespace {

using namespace std::chrono_literals;

void enjoy(const char* what, std::chrono::milliseconds time) {
  std::osyncstream(std::cout) << what << " begins\n" << std::flush;
  std::this_thread::sleep_for(time);
  std::osyncstream(std::cout) << what << " ends\n" << std::flush;
}

template <class Worker>
void evening() {
  Worker music("music", enjoy, "the music", 400ms);
  Worker film("film", enjoy, "the film", 1200ms);
  std::osyncstream(std::cout) << "main goes on\n" << std::flush;
  music.join();
  film.join();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "processes") {
    evening<sluice::Process>();
  } else {
    evening<sluice::Thread>();
  }
}
