// SPDX-License-Identifier: Apache-2.0
//
// A parent and a forked child exchange text through two pipes, one for each direction.

#include "sluice/ipc/pipe.h"

#include <cstdlib>
#include <iostream>
#include <string>

#include "sluice/pool/process.h"

int main() {
  // A pipe is one-way. Each process uses the ends it wants, and nobody has to close the others.
  auto [questions_out, questions_in] = sluice::Pipe::create(1 << 16);
  auto [answers_out, answers_in] = sluice::Pipe::create(1 << 16);

  sluice::Process child("child", [&] {
    std::string question;
    // Ends when the parent closes its end, or dies.
    while (questions_out.recv(question) == sluice::Status::ok) {
      const std::string answer(question.rbegin(), question.rend());
      if (answers_in.send(answer) != sluice::Status::ok) return;
    }
  });

  for (const std::string question : {"sluice", "parts", "level"}) {
    if (questions_in.send(question) != sluice::Status::ok) return EXIT_FAILURE;
    std::string answer;
    if (answers_out.recv(answer) != sluice::Status::ok) return EXIT_FAILURE;
    std::cout << question << " -> " << answer << '\n';
  }

  questions_in.close();  // no more questions: the child's loop ends, then the child
  std::string answer;
  std::cout << "the child's pipe is " << answers_out.recv(answer) << '\n';
  child.join();
  std::cout << "the child's exit code is " << child.exit_code().value_or(-1) << '\n';
}
