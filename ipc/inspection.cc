// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/inspection.h"

#include <algorithm>
#include <cctype>
#include <sstream>
#include <utility>

#include "sluice/ipc/stamp.h"
#include "sluice/sync/registry_format.h"

namespace sluice::internal {

std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return std::isprint(c) == 0; }, '?');
  return text;
}

std::string hex(std::uint64_t number) {
  std::ostringstream out;
  out << "0x" << std::hex << number;
  return out.str();
}

std::uint64_t Inspection::room() const { return object_.file_size - kObjectOffset; }

std::optional<ObjectCopy> Inspection::copy(std::size_t size) const {
  if (size > room()) return std::nullopt;
  ObjectCopy copy(size);
  if (!read_at(fd_, copy.bytes().data(), size, kObjectOffset)) return std::nullopt;
  return copy;
}

void Inspection::owner(std::string role, std::string state, Tag tag) {
  OwnerInfo owner{.role = std::move(role), .state = std::move(state), .tag = tag};
  // Tags of another registry mean other processes.
  if (object_.registry == domain_.incarnation() && tag != participant::kNobody) {
    owner.liveness = participant::probe(domain_, tag);
    if (const auto record = participant::describe(domain_, tag)) {
      owner.pid = record->pid;
      owner.process = printable(record->name);
      owner.left = record->left;
    }
  }
  object_.owners.push_back(std::move(owner));
}

bool Inspection::is_dead(Tag tag) const {
  return tag != participant::kNobody && object_.registry == domain_.incarnation() &&
         participant::probe(domain_, tag) == Liveness::dead;
}

void Inspection::lock(const std::string& role, const LockReport& report,
                      std::uint32_t incarnation) {
  if (incarnation != 0 && incarnation != this->incarnation()) {
    fault("the " + role + " was used under another registry: " + hex(incarnation));
  }
  switch (report.state) {
    case LockReport::State::free:
      owner(role, "free", participant::kNobody);
      break;
    case LockReport::State::held:
      if (report.owner == participant::kNobody) {
        owner(role, "corrupt", participant::kNobody);
        fault("the " + role + " is held by nobody");
      } else {
        owner(role, report.marked ? "held, marked" : "held", report.owner);
      }
      break;
    case LockReport::State::owner_died:
      owner(role, "marked", report.owner);
      break;
    case LockReport::State::destroyed:
      owner(role, "destroyed", participant::kNobody);
      break;
  }
  if (report.maybe_waiting) waiting("somebody, for the " + role);
}

}  // namespace sluice::internal
