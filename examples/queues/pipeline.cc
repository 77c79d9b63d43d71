// SPDX-License-Identifier: Apache-2.0
//
// A pipeline: lines of text -> words -> words counted, a process for each step and a queue between
// two of them. Each step ends when its queue is drained, and closes the next one. The queues hold
// few items, so that a fast step waits for a slow one.

#include <iostream>
#include <map>
#include <sstream>
#include <string>

#include "sluice/ipc/queue.h"
#include "sluice/pool/process.h"
#include "sluice/sync/status.h"

int main() {
  using sluice::Status;
  sluice::Queue<std::string> lines(2);
  sluice::Queue<std::string> words(4);
  using Counts = std::map<std::string, int>;
  sluice::Queue<Counts> counts(1);

  sluice::Process splitter("splitter", [&] {
    for (const std::string& line : lines.items()) {
      std::istringstream in(line);
      for (std::string word; in >> word;) {
        if (words.push(word) != Status::ok) return;
      }
    }
    words.close();
  });
  sluice::Process counter("counter", [&] {
    Counts count;
    for (const std::string& word : words.items()) ++count[word];
    static_cast<void>(counts.push(count));
    counts.close();
  });

  for (const char* line : {"row row row your boat", "gently down the stream", "row your boat"}) {
    if (lines.push(line) != Status::ok) return 1;
  }
  lines.close();
  while (const auto all = counts.pop()) {
    for (const auto& [word, count] : *all) std::cout << word << ' ' << count << '\n';
  }
  splitter.join();
  counter.join();
  std::cout << splitter.exit_code().value_or(-1) << ' ' << counter.exit_code().value_or(-1) << '\n';
}
