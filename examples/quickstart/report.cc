// SPDX-License-Identifier: Apache-2.0

#include "sluice/examples/quickstart/report.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <ostream>
#include <sstream>
#include <string_view>
#include <utility>

#include "sluice/examples/quickstart/count.h"
#include "sluice/examples/quickstart/words.h"

namespace quickstart {
namespace {

constexpr std::size_t kFrequentWords = 10;
constexpr std::size_t kWordsPerRow = 5;
constexpr std::streamoff kShownBytes = 24;  // of a word

/// A row's name, in a column of its own.
std::ostream& row(std::ostream& out, std::string_view name) {
  return out << "  " << std::left << std::setw(16) << name << std::right;
}

std::string with_point(double number, int digits) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(digits) << number;
  return text.str();
}

/// How many bytes the UTF-8 character at the front of `text` has; 0 if there is none, or a control
/// character.
std::size_t character_bytes(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return 1;
  const auto size = static_cast<std::size_t>(std::countl_one(byte(0)));
  if (byte(0) < 0xc2 || byte(0) > 0xf4 || text.size() < size) return 0;
  if (byte(0) == 0xc2 && byte(1) < 0xa0) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return size;
}

/// For a terminal: a binary file's words can be long, and any bytes.
std::string printable(std::string_view word) {
  std::ostringstream text;
  while (!word.empty() && text.tellp() < kShownBytes) {
    const std::size_t size = character_bytes(word);
    if (size != 0) {
      text << word.substr(0, size);
    } else {
      text << "\\x" << std::hex << unsigned{static_cast<unsigned char>(word.front())};
    }
    word.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return text.str() + (word.empty() ? "" : "...");
}

void print_frequent(std::ostream& out, const WordTable& table) {
  const std::vector<WordCount> words = table.most_frequent(kFrequentWords);
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i % kWordsPerRow == 0) row(out << (i == 0 ? "" : "\n"), i == 0 ? "most frequent" : "");
    out << (i % kWordsPerRow == 0 ? "" : ", ") << printable(words[i].word) << ' '
        << with_commas(words[i].count);
  }
  if (!words.empty()) out << '\n';
}

}  // namespace

std::string with_commas(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t i = text.size(); i > 3;) text.insert(i -= 3, 1, ',');
  return text;
}

std::string as_time(std::int64_t ns) {
  const auto value = static_cast<double>(ns);
  constexpr std::array<std::pair<double, const char*>, 3> kUnits = {
      {{1e9, " s"}, {1e6, " ms"}, {1e3, " us"}}};
  for (const auto& [size, name] : kUnits) {
    if (value < size) continue;
    const double scaled = value / size;
    const int digits = scaled < 10 ? 2 : 1;
    return with_point(scaled, scaled < 100 ? digits : 0) + name;
  }
  return std::to_string(ns) + " ns";
}

std::optional<std::int64_t> percentile(const std::vector<std::int64_t>& sorted, double share) {
  const auto n = static_cast<double>(sorted.size());
  // A little below, since 1 / (1 - 0.999) is not quite 1000.
  if (n * (1 - share) < 1 - 1e-6) return std::nullopt;
  const auto rank = static_cast<std::size_t>(std::ceil(n * share - 1e-6));
  return sorted[std::max<std::size_t>(rank, 1) - 1];
}

ProgressLine::ProgressLine(std::string what, std::uint64_t bytes_in_all)
    : what_(std::move(what)),
      bytes_in_all_(bytes_in_all),
      is_terminal_(isatty(STDERR_FILENO) != 0) {}

ProgressLine::~ProgressLine() {
  if (is_terminal_) std::cerr << "\r\x1b[K" << std::flush;
}

void ProgressLine::show(const Progress& progress) {
  if (!is_terminal_) return;
  std::cerr << "\r\x1b[K" << what_ << ": " << progress.bytes / 1'000'000 << " of "
            << bytes_in_all_ / 1'000'000 << " MB, " << with_commas(progress.lines) << " lines, "
            << progress.parsers << (progress.parsers == 1 ? " parser" : " parsers") << std::flush;
}

void print_totals(std::ostream& out, const Outcome& outcome, const PlainCounter& plain) {
  const Counts& counts = outcome.counts;
  row(out, "lines") << with_commas(counts.lines) << '\n';
  row(out, "bytes") << with_commas(counts.bytes) << '\n';
  row(out, "words") << with_commas(counts.words) << ", of which different "
                    << with_commas(counts.table.size()) << '\n';
  print_frequent(out, counts.table);
  row(out, "check");
  if (plain.agrees_with(counts)) {
    out << "a plain count of the same input, in one process, gives the same\n";
    return;
  }
  out << "WRONG: a plain count of the same input gives " << with_commas(plain.lines()) << " lines, "
      << with_commas(plain.bytes()) << " bytes, " << with_commas(plain.words()) << " words, "
      << with_commas(plain.different_words()) << " different\n";
}

void print_throughput(std::ostream& out, const Outcome& outcome) {
  if (outcome.seconds <= 0) return;
  row(out, "throughput") << with_commas(static_cast<std::uint64_t>(
                                static_cast<double>(outcome.counts.lines) / outcome.seconds))
                         << " lines/s, "
                         << with_point(
                                1e-6 * static_cast<double>(outcome.counts.bytes) / outcome.seconds,
                                1)
                         << " MB/s (" << with_commas(outcome.batches)
                         << (outcome.batches == 1 ? " batch in " : " batches in ")
                         << with_point(outcome.seconds, 3) << " s)\n";
}

void print_latency(std::ostream& out, const std::string& name, const Outcome& outcome,
                   const std::string& what) {
  if (outcome.waits_ns.empty()) return;
  std::vector<std::int64_t> sorted = outcome.waits_ns;
  std::sort(sorted.begin(), sorted.end());
  constexpr std::array<std::pair<double, const char*>, 3> kShares = {
      {{0.5, "p50 "}, {0.99, "p99 "}, {0.999, "p99.9 "}}};
  row(out, name);
  for (const auto& [share, label] : kShares) {
    const auto value = percentile(sorted, share);
    out << label << std::left << std::setw(10) << (value ? as_time(*value) : "-") << std::right;
  }
  out << what << '\n';
}

}  // namespace quickstart
