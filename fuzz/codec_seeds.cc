// SPDX-License-Identifier: Apache-2.0
//
// Writes the corpus of codec_fuzz.cc into a directory: one file for each kind of value.

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "sluice/ipc/codec.h"
#include "sluice/tests/ipc/codec_types.h"

namespace {

using sluice::tests::Everything;
using sluice::tests::Person;
using sluice::tests::Tree;

std::string g_directory;

void write(const std::string& name, std::uint8_t type, const std::vector<std::byte>& bytes) {
  std::ofstream file(g_directory + "/" + name, std::ios::binary);
  file.put(static_cast<char>(type));
  for (const std::byte b : bytes) file.put(static_cast<char>(b));
}

Everything everything() {
  Everything e;
  e.yes = true;
  e.text = "text";
  e.wide = u"wide";
  e.numbers = {1, 2, 3};
  e.bits = {true, false, true};
  e.words = {"a", ""};
  e.pairs = {{1, "one"}};
  e.names = {"x", "y"};
  e.many = {1, 1};
  e.hashes = {7};
  e.people["team"] = {Person{"Ada", {"Countess"}, 36}};
  e.lookup[5] = "five";
  e.lookup[6] = std::nullopt;
  e.multi = {{1, 2}, {1, 3}};
  e.any = Person{"Bob", {}, {}};
  e.nothings.resize(4);
  e.tree.branches.resize(2);
  return e;
}

Tree chain(int length) {
  Tree tree;
  for (int i = 1; i < length; ++i) {
    Tree root;
    root.branches.push_back(std::move(tree));
    tree = std::move(root);
  }
  return tree;
}

std::vector<std::byte> huge_count() {
  return {std::byte{255}, std::byte{255}, std::byte{255}, std::byte{255}, std::byte{1}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: codec_seeds DIRECTORY\n";
    return EXIT_FAILURE;
  }
  g_directory = argv[1];
  using sluice::encode;
  write("everything", 0, encode(everything()));
  write("everything-empty", 0, encode(Everything{}));
  write("tree", 1, encode(everything().tree));
  write("tree-deepest", 1, encode(chain(sluice::kMostNested)));
  std::vector<std::byte> deeper = encode(chain(sluice::kMostNested));
  const auto branch = encode(chain(2));
  deeper.insert(deeper.begin(), branch.begin(), branch.begin() + 6);
  write("tree-too-deep", 1, deeper);
  write("people", 2, encode(everything().people["team"]));
  write("people-huge-count", 2, huge_count());
  write("map", 3,
        encode(std::map<std::string, std::vector<std::vector<std::string>>>{{"a", {{"b", "c"}, {}}},
                                                                            {"d", {}}}));
  write("map-huge-count", 3, huge_count());
  write("variants", 4,
        encode(std::vector<std::variant<bool, std::string, std::vector<double>>>{
            true, "text", std::vector<double>{1.5}}));
  write("nothings", 5, encode(std::vector<sluice::tests::Nothing>(9)));
  write("nothings-huge-count", 5, huge_count());
}
