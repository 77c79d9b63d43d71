// SPDX-License-Identifier: Apache-2.0
//
// TaskCode: a function as another process finds it, wherever its modules lie: which module, and how
// far into it. Not for functions made at run time. Internal: users meet the pool (pool/pool.h).
//
//   const TaskCode code = code_of(reinterpret_cast<Code>(&handle));   // in one process
//   if (Code found = CodeTable().find(code)) ...                      // in another: the same code
//
// A module is known by its build id, which the linker writes into it and which differs whenever its
// code does; by its file's name and the sizes of its segments where it has none. So a worker whose
// program is another build refuses the task; it never runs what happens to lie at that address.
//
// Units: bytes from the module's load address. Errors: code_of() throws Error for an address in no
// module; find() gives nullptr where no module with that id is loaded, or no code lies there.
// Threads: code_of() may be called by any; a CodeTable is one thread's. If a process dies here:
// nothing is shared. Cost: code_of() walks the modules, so callers keep what it gave; find() is a
// search among the modules met before, and walks them again for one not met yet.

#ifndef SLUICE_POOL_TASK_CODE_H_
#define SLUICE_POOL_TASK_CODE_H_

#include <cstdint>
#include <string>
#include <vector>

namespace sluice::internal {

using Code = void (*)();

struct TaskCode {
  std::uint64_t module;
  std::uint64_t offset;

  bool operator==(const TaskCode&) const = default;
};

[[nodiscard]] TaskCode code_of(Code function);

/// The same, which the calling thread remembers.
[[nodiscard]] TaskCode remembered_code(Code function);

/// For people: the file of the module in this process, or its number if there is none.
[[nodiscard]] std::string module_name(std::uint64_t module);

/// The modules of this process, by their ids.
class CodeTable {
 public:
  [[nodiscard]] Code find(TaskCode code);

 private:
  struct Stretch {  ///< of code
    std::uint64_t module;
    std::uintptr_t base, first, end;
  };
  [[nodiscard]] Code find_loaded(TaskCode code) const;
  void load();

  std::vector<Stretch> stretches_;
  TaskCode last_ = {};  ///< asked for, and what it was: most tasks are like the one before
  Code last_found_ = nullptr;
};

}  // namespace sluice::internal

#endif  // SLUICE_POOL_TASK_CODE_H_
