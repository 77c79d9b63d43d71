// SPDX-License-Identifier: Apache-2.0
//
// Golden files: the bytes of an object as a version of sluice has left them, kept as text that a
// person can read in a review:
//
//   size 12288
//   000000: 736c7569636531000403020101000000
//   ...                                           lines of zeroes are left out
//
// Written anew, where a new version of a kind gets a file of its own, by
// SLUICE_WRITE_GOLDEN=tests/ipc/testdata golden_test.

#ifndef SLUICE_TESTS_IPC_GOLDEN_H_
#define SLUICE_TESTS_IPC_GOLDEN_H_

#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <iomanip>
#include <ios>
#include <iterator>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/ipc/fingerprint.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/domain.h"

namespace sluice::tests {

using Image = std::vector<unsigned char>;

/// Bytes of an image that differ from run to run: owners' tags and the like.
struct Range {
  std::size_t begin, size;
};

inline Image read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("can't read " + path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline Image read_golden(const std::string& path) {
  std::ifstream in(path);
  std::string word;
  std::size_t size = 0;
  if (!(in >> word >> size) || word != "size") throw std::runtime_error("no golden file: " + path);
  Image image(size);
  for (std::string offset, hex; in >> offset >> hex;) {
    const std::size_t begin = std::stoul(offset, nullptr, 16);
    for (std::size_t i = 0; i < hex.size() / 2; ++i) {
      image.at(begin + i) =
          static_cast<unsigned char>(std::stoul(hex.substr(2 * i, 2), nullptr, 16));
    }
  }
  return image;
}

inline void write_golden(const std::string& path, const Image& image) {
  constexpr std::size_t kPerLine = 16;
  std::ofstream out(path);
  out << "size " << image.size() << '\n' << std::hex << std::setfill('0');
  for (std::size_t begin = 0; begin < image.size(); begin += kPerLine) {
    const std::span<const unsigned char> line(&image[begin],
                                              std::min(kPerLine, image.size() - begin));
    if (std::all_of(line.begin(), line.end(), [](unsigned char c) { return c == 0; })) continue;
    out << std::setw(6) << begin << ": ";
    for (const unsigned char byte : line) out << std::setw(2) << static_cast<unsigned>(byte);
    out << '\n';
  }
}

/// Zeroes what differs from run to run, in the stamp and where `ranges` say.
inline Image masked(Image image, const std::vector<Range>& ranges) {
  std::vector<Range> all = {{offsetof(Stamp, incarnation), 8},
                            {offsetof(Stamp, creator_tag), 4},
                            {offsetof(Stamp, creator_pid), 4},
                            {offsetof(Stamp, made_at), 8},
                            {offsetof(Stamp, checksum), 8}};
  all.insert(all.end(), ranges.begin(), ranges.end());
  for (const Range& range : all) {
    std::fill_n(image.begin() + static_cast<std::ptrdiff_t>(range.begin), range.size, 0);
  }
  return image;
}

/// Where two images differ first, for people; empty if nowhere.
inline std::string difference(const Image& left, const Image& right) {
  if (left.size() != right.size()) {
    return std::to_string(left.size()) + " and " + std::to_string(right.size()) + " bytes";
  }
  const auto [l, r] = std::mismatch(left.begin(), left.end(), right.begin());
  if (l == left.end()) return "";
  std::ostringstream out;
  out << "byte " << l - left.begin() << ": 0x" << std::hex << static_cast<unsigned>(*l) << " and 0x"
      << static_cast<unsigned>(*r);
  return out.str();
}

/// Puts the image into the file `path` as an object of this process's registry, once `change` has
/// been at its stamp.
template <class Change>
void put_object(const std::string& path, Image image, Change change) {
  Stamp stamp = {};
  std::memcpy(&stamp, image.data(), sizeof stamp);
  stamp.incarnation = Domain::current().incarnation();
  change(stamp);
  const auto bytes = std::as_bytes(std::span(&stamp, 1));
  stamp.checksum = Fnv1a().add(bytes.first(offsetof(Stamp, checksum))).value();
  std::memcpy(image.data(), &stamp, sizeof stamp);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(image.data()),
             static_cast<std::streamsize>(image.size()));
  if (chmod(path.c_str(), 0600) != 0) throw std::runtime_error("chmod " + path);
}

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_IPC_GOLDEN_H_
