// SPDX-License-Identifier: Apache-2.0
//
// Participants: who takes part in shared structures, and who of them is still alive. Users need
// this header only to attach early; every shared type attaches at its first use.
//
//   sluice::attach();                       // before entering seccomp, a real-time class, ...
//   Tag me = participant::self();           // this process, in owner words
//   if (participant::probe(peer) == Liveness::dead) take_over();
//
// A participant is a 32-bit tag, a number that the domain's registry gives out once and never
// again; 0 is nobody. Alive means that the kernel holds this tag's lock (sync/domain.h). Death is
// concluded from the kernel alone: never from a table, a heartbeat or a timeout. A stopped, traced
// or core-dumping process is alive, a zombie is dead, and exec ends a participant.
//
// Errors: attach() and self() throw Error (no usable domain, all tags given out); probe() never
// throws: where the kernel's answer can't be trusted it says unknown, which nobody may take for
// dead. Threads: all calls may overlap. Processes: a forked child is a participant of its own, with
// a new tag at its first use; also after a raw clone(2).
//
// A process that ends by exit(3) has noted that it left; one that is killed, or calls _exit, has
// not.
//
// If a process dies here: taking a tag raises the counter in one atomic step, then locks the tag's
// byte. A death at any point leaves at most one number unused; nobody waits for one that is
// stopped.
//
// Cost: self() one load; probe() of a living process one system call, of a dead one two; attach()
// about thirty, once per process. From then on probe() needs no call but fcntl(2) and fstat(2).

#ifndef SLUICE_SYNC_PARTICIPANT_H_
#define SLUICE_SYNC_PARTICIPANT_H_

#include <sys/types.h>

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>

#include "sluice/sync/domain.h"
#include "sluice/sync/process_state.h"
#include "sluice/sync/unique_fd.h"

namespace sluice {

/// Names a participant within one incarnation of a registry.
using Tag = std::uint32_t;

/// What the kernel says of a participant.
enum class Liveness : std::uint8_t {
  alive,    ///< running, stopped, traced or dumping core
  dead,     ///< ended, a zombie, or a tag that was never given out
  unknown,  ///< the registry's files can't be identified any more: treat as alive
};

/// The enumerator's own name.
std::ostream& operator<<(std::ostream& out, Liveness liveness);

namespace internal {
Tag attach_slowly();
}  // namespace internal

namespace participant {

/// No participant: never given out. probe() calls it dead.
inline constexpr Tag kNobody = 0;

/// This process's tag; attaches at first use.
[[nodiscard]] inline Tag self() {
  // Acquire: what was stored before the tag, the registry's incarnation, is visible with it. On
  // x86-64 that is a plain load.
  const Tag tag = internal::g_process_state.tag.load(std::memory_order_acquire);
  return tag != kNobody ? tag : internal::attach_slowly();
}

/// As self(), but kNobody if this process has not attached yet.
[[nodiscard]] inline Tag self_if_attached() noexcept {
  // Acquire: as in self().
  return internal::g_process_state.tag.load(std::memory_order_acquire);
}

/// Whether the participant lives. kNobody and tags never given out are dead.
[[nodiscard]] Liveness probe(Tag tag) noexcept;

/// The same for a participant of any domain, for tools: opens the file to ask anew each time, and
/// never attaches.
[[nodiscard]] Liveness probe(Domain& domain, Tag tag) noexcept;

/// Notes that this process is about to end in good order, so that its peers see a closed stream
/// instead of a death. Called by exit(3) and by a Process whose callable returns; idempotent.
void leave() noexcept;

/// Whether a participant that is dead had called leave(). False if the note has been overwritten
/// (4,096 later participants) or can't be read.
[[nodiscard]] bool has_left(Tag tag) noexcept;

/// What the registry noted of a tag. A death is concluded from probe() alone, never from this.
struct Record {
  Tag tag;           ///< the one that was asked for
  pid_t pid;         ///< its process id, as that process saw it
  std::string name;  ///< the process's short name (comm) at that time
  bool left;         ///< leave() was called
};

/// The record of `tag`; empty if a later tag has overwritten it.
[[nodiscard]] std::optional<Record> describe(Domain& domain, Tag tag);

/// The process that had the tag, as the registry noted it: for people. 0 if a later tag has
/// overwritten the note, or it can't be read. Allocates nothing, unless the registry is lost.
[[nodiscard]] pid_t noted_pid(Tag tag) noexcept;

/// A pidfd of a living participant's process, to be woken by its death; empty if there is none to
/// be had. It may be another process's, of another pid namespace: when it is readable, ask probe().
[[nodiscard]] UniqueFd open_pidfd(Tag tag) noexcept;

/// For people: "participant 7 (pid 4711, parser)", or as much of it as is known in this domain.
[[nodiscard]] std::string to_text(Tag tag);

}  // namespace participant

/// Attaches this process to its domain now instead of at first use.
inline void attach() { static_cast<void>(participant::self()); }

}  // namespace sluice

#endif  // SLUICE_SYNC_PARTICIPANT_H_
