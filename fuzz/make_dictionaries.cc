// SPDX-License-Identifier: Apache-2.0
//
// Writes the dictionaries of the fuzz targets into a directory:
//
//   ./bazelw run //fuzz:make_dictionaries -- $PWD/fuzz/dictionaries

#include <exception>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>

#include "sluice/fuzz/dictionaries.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: make_dictionaries DIRECTORY\n";
    return 2;
  }
  try {
    for (const sluice::fuzz::Dictionary& dictionary : sluice::fuzz::all_dictionaries()) {
      const std::string path = std::string(argv[1]) + "/" + dictionary.target + ".dict";
      std::ofstream file(path, std::ios::trunc);
      file << text_of(dictionary);
      if (!file.flush()) throw std::runtime_error("cannot write " + path);
    }
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
  return 0;
}
