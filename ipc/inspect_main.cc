// SPDX-License-Identifier: Apache-2.0
//
// The command-line face of ipc/inspect.h. Changes nothing, also where there is nothing.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "sluice/ipc/inspect.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"

namespace {

using sluice::Domain;

void print_objects(Domain& domain) {
  const std::vector<sluice::ObjectInfo> objects = sluice::list_objects(domain);
  std::cout << "domain " << domain.path() << ": "
            << (objects.empty() ? "no" : std::to_string(objects.size()))
            << (objects.size() == 1 ? " object\n" : " objects\n");
  for (const sluice::ObjectInfo& object : objects) std::cout << object << '\n';
}

void list_one(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0 && errno == ENOENT) {
    std::cout << "domain " << path << ": does not exist (nothing has used it yet)\n";
    return;
  }
  Domain domain(path, Domain::Access::look);
  print_objects(domain);
}

/// One damaged domain does not hide the others. True if all could be listed.
bool list_all() {
  bool all = true;
  for (const std::string& path : sluice::list_domains()) {
    try {
      list_one(path);
    } catch (const sluice::Error& e) {
      std::cerr << e.what() << '\n';
      all = false;
    }
  }
  return all;
}

/// A name has no slash, so what has one is the path of a file.
void show(const std::string& path, const std::string& name) {
  Domain domain(path, Domain::Access::look);
  sluice::print_details(std::cout, name.find('/') == std::string::npos
                                       ? sluice::describe_object(domain, name)
                                       : sluice::describe_file(domain, name));
}

}  // namespace

int main(int argc, char** argv) {
  std::string name;
  std::string domain;
  bool all_domains = false;
  CLI::App app("Shows the objects of a domain, or one of them, without touching anything.");
  auto* const object = app.add_option(
      "NAME", name,
      "an object, or the path of a file (./levels), to describe; without it, all are listed");
  auto* const one = app.add_option("--domain", domain, "another domain than SLUICE_DOMAIN's");
  app.add_flag("--all-domains", all_domains, "list all domains of this user")
      ->excludes(one)
      ->excludes(object);
  CLI11_PARSE(app, argc, argv);
  try {
    if (all_domains) return list_all() ? 0 : 1;
    const std::string path = domain.empty() ? Domain::current_path() : Domain::path_of(domain);
    if (name.empty()) {
      list_one(path);
    } else {
      show(path, name);
    }
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
  return 0;
}
