// SPDX-License-Identifier: Apache-2.0
//
// ProgressBar: draws how far something is, on one line of a terminal. Not for logs: where it draws
// to is no terminal, it writes a line for each tenth instead.
//
//   ProgressBar bar("thumbnails");
//   pool.map({.progress = std::ref(bar)}, shrink, photos);
//   // thumbnails [##############                ]  47 %  4700/10000
//
// Units: whatever is counted. Errors: none: what can't be written is not. Threads: one at a time,
// as a map calls it. Processes, death: private to the process; a process that dies leaves an
// unfinished line. Cost: a write(2) each time the drawing changes, which is at most once for each
// hundredth.

#ifndef SLUICE_POOL_PROGRESS_BAR_H_
#define SLUICE_POOL_PROGRESS_BAR_H_

#include <unistd.h>

#include <cstddef>
#include <string>
#include <utility>

namespace sluice {

/// Draws how much of a map is done; PoolMapOptions::progress takes a std::ref of one.
class ProgressBar {
 public:
  /// With `what` in front of it, on `descriptor`, which stays the caller's. Draws nothing yet.
  explicit ProgressBar(std::string what, int descriptor = STDERR_FILENO)
      : what_(std::move(what)), descriptor_(descriptor), is_terminal_(isatty(descriptor) == 1) {}

  /// So many of so many are done. At `all` the line is ended.
  void operator()(std::size_t done, std::size_t all) {
    const std::size_t percent = all == 0 ? 100 : done * 100 / all;
    const std::size_t step = is_terminal_ ? percent : percent / 10;
    if (step == shown_) return;
    shown_ = step;
    write_line(percent, " " + std::to_string(done) + "/" + std::to_string(all), done >= all);
  }

 private:
  void write_line(std::size_t percent, const std::string& counts, bool is_last) {
    constexpr std::size_t kWidth = 30;
    const std::size_t full = kWidth * percent / 100;
    std::string line = is_terminal_ ? "\r" : "";
    line += what_ + " [" + std::string(full, '#') + std::string(kWidth - full, ' ') + "] ";
    if (percent < 100) line += ' ';
    if (percent < 10) line += ' ';
    line += std::to_string(percent) + " % " + counts;
    if (is_last || !is_terminal_) line += '\n';
    const ssize_t written = write(descriptor_, line.data(), line.size());
    static_cast<void>(written);  // a closed terminal is no reason to end
  }

  std::string what_;
  int descriptor_;
  bool is_terminal_;
  std::size_t shown_ = static_cast<std::size_t>(-1);
};

}  // namespace sluice

#endif  // SLUICE_POOL_PROGRESS_BAR_H_
