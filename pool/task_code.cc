// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/task_code.h"

#include <elf.h>
#include <link.h>
#include <unistd.h>

#include <bit>
#include <climits>
#include <cstddef>
#include <cstring>
#include <functional>
#include <span>
#include <sstream>
#include <string_view>
#include <unordered_map>

#include "sluice/sync/error.h"

namespace sluice::internal {
namespace {

/// FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/.
class Hash {
 public:
  void add(std::span<const std::byte> bytes) {
    for (const std::byte b : bytes) {
      value_ = (value_ ^ std::to_integer<std::uint64_t>(b)) * 0x100000001b3U;
    }
  }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325U;
};

std::span<const ElfW(Phdr)> headers_of(const dl_phdr_info& module) {
  return {module.dlpi_phdr, module.dlpi_phnum};
}

/// A stretch of a loaded module, as its program header says.
std::span<const std::byte> loaded(const dl_phdr_info& module, const ElfW(Phdr) & header) {
  const auto address = static_cast<std::uintptr_t>(module.dlpi_addr + header.p_vaddr);
  return {std::bit_cast<const std::byte*>(address), header.p_memsz};
}

/// The build id among the notes of a segment; empty if it is not there.
std::span<const std::byte> build_id(std::span<const std::byte> notes, std::size_t align) {
  const auto padded = [align](std::size_t size) { return (size + align - 1) / align * align; };
  while (notes.size() > sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note;
    std::memcpy(&note, notes.data(), sizeof note);
    const std::size_t name_end = sizeof note + padded(note.n_namesz);
    const std::size_t end = name_end + padded(note.n_descsz);
    if (name_end > notes.size() || note.n_descsz > notes.size() - name_end) break;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof ELF_NOTE_GNU &&
        std::memcmp(notes.data() + sizeof note, ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) == 0) {
      return notes.subspan(name_end, note.n_descsz);
    }
    if (end >= notes.size()) break;
    notes = notes.subspan(end);
  }
  return {};
}

std::uint64_t id_of(const dl_phdr_info& module) {
  Hash hash;
  for (const ElfW(Phdr) & header : headers_of(module)) {
    if (header.p_type != PT_NOTE) continue;
    const auto id = build_id(loaded(module, header), header.p_align == 8 ? 8 : 4);
    if (id.empty()) continue;
    hash.add(id);
    return hash.value();
  }
  hash.add(std::as_bytes(std::span(std::string_view(module.dlpi_name))));
  for (const ElfW(Phdr) & header : headers_of(module)) {
    if (header.p_type == PT_LOAD) hash.add(std::as_bytes(std::span(&header.p_memsz, 1)));
  }
  return hash.value();
}

using Look = std::function<bool(const dl_phdr_info&)>;

/// Shows `look` each module until it says true.
bool any_module(const Look& look) {
  const auto each = [](dl_phdr_info* module, std::size_t, void* context) {
    return static_cast<int>((*static_cast<const Look*>(context))(*module));
  };
  return dl_iterate_phdr(each, const_cast<Look*>(&look)) != 0;
}

bool is_code(const ElfW(Phdr) & header) {
  return header.p_type == PT_LOAD && (header.p_flags & PF_X) != 0;
}

/// The program itself has no name among its modules.
std::string file_of(const dl_phdr_info& module) {
  if (*module.dlpi_name != '\0') return module.dlpi_name;
  std::string path(PATH_MAX, '\0');
  const ssize_t size = readlink("/proc/self/exe", path.data(), path.size());
  if (size <= 0) return "the program";
  path.resize(static_cast<std::size_t>(size));
  return path;
}

std::string hex(std::uint64_t number) {
  std::ostringstream text;
  text << "0x" << std::hex << number;
  return text.str();
}

}  // namespace

TaskCode code_of(Code function) {
  const auto address = std::bit_cast<std::uintptr_t>(function);
  TaskCode code = {};
  const bool found = any_module([&](const dl_phdr_info& module) {
    for (const ElfW(Phdr) & header : headers_of(module)) {
      const std::uintptr_t first = module.dlpi_addr + header.p_vaddr;
      if (!is_code(header) || address < first || address - first >= header.p_memsz) continue;
      code = {id_of(module), address - module.dlpi_addr};
      return true;
    }
    return false;
  });
  if (found) return code;
  throw Error(Status::mismatch,
              {.tried = "submit a task",
               .expected = "a function of the program or of a library that it has loaded",
               .found = "one at " + hex(address) + ", in no module"});
}

std::string module_name(std::uint64_t module) {
  std::string name = "the module with build id hash " + hex(module);
  any_module([&](const dl_phdr_info& loaded) {
    if (id_of(loaded) != module) return false;
    name = file_of(loaded);
    return true;
  });
  return name;
}

TaskCode remembered_code(Code function) {
  static thread_local std::unordered_map<Code, TaskCode> known;
  const auto found = known.find(function);
  if (found != known.end()) return found->second;
  return known.emplace(function, code_of(function)).first->second;
}

Code CodeTable::find_loaded(TaskCode code) const {
  for (const Stretch& stretch : stretches_) {
    if (stretch.module != code.module) continue;
    const std::uintptr_t address = stretch.base + code.offset;
    if (address >= stretch.first && address < stretch.end) return std::bit_cast<Code>(address);
  }
  return nullptr;
}

void CodeTable::load() {
  stretches_.clear();
  any_module([&](const dl_phdr_info& module) {
    const std::uint64_t id = id_of(module);
    for (const ElfW(Phdr) & header : headers_of(module)) {
      if (!is_code(header)) continue;
      const std::uintptr_t first = module.dlpi_addr + header.p_vaddr;
      stretches_.push_back({id, module.dlpi_addr, first, first + header.p_memsz});
    }
    return false;
  });
}

Code CodeTable::find(TaskCode code) {
  if (code == last_ && last_found_ != nullptr) return last_found_;
  Code found = find_loaded(code);
  if (found == nullptr) {
    load();
    found = find_loaded(code);
  }
  last_ = code;
  last_found_ = found;
  return found;
}

}  // namespace sluice::internal
