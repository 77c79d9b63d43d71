// SPDX-License-Identifier: Apache-2.0
//
// Uses a domain whose registry has arbitrary bytes, and whose files somebody damages meanwhile:
// opens it, takes part in it, asks who lives and who it was, and lets the inspector look. Whatever
// is there, each call ends with a result or an Error; it doesn't crash, doesn't hang, and reads
// nothing behind the end of the file: guarded_mmap.cc. And bytes alone make nobody alive: only who
// holds its lock is.
//
//   ./bazelw test //fuzz:registry_corpus_test                   # the corpus, with any compiler
//   ./bazelw run --config=fuzz //fuzz:registry_fuzz -- -max_len=8192 $PWD/fuzz/corpus/registry
//
// Run so, it is given its dictionary; what is run by hand wants
// -dict=fuzz/dictionaries/registry.dict (dictionaries.h).
//
// The format of an input is in registry_input.h; registry_seeds.cc makes the corpus.
//
// A process takes part in one domain, and once. So that this one can do so for each input, all of
// them are about its own domain, whose files are put back; and it ends as a participant as the
// kernel would end it: the mapping is removed that keeps its lock.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "sluice/fuzz/corpus.h"
#include "sluice/fuzz/guarded_mmap.h"
#include "sluice/fuzz/registry_input.h"
#include "sluice/ipc/fingerprint.h"
#include "sluice/ipc/inspect.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/file_hold.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/process_state.h"
#include "sluice/sync/registry_format.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::fuzz {

const char* const kCorpus = "fuzz/corpus/registry";

namespace {

using internal::FileHold;
using internal::g_process_state;
using internal::read_at;
using internal::write_at;

constexpr std::size_t kRecordBytes = 64;
constexpr std::size_t kWholeRegistry =
    internal::kRecordsOffset + static_cast<std::size_t>(internal::kRecords) * kRecordBytes;
constexpr std::size_t kLargest = 16384;  // bytes of an input that go to the file

// In the header (sync/domain.h): magic, version and size; then, behind the incarnation, device and
// inodes.
constexpr std::size_t kIncarnation = 16;
constexpr std::size_t kDevice = 24;
constexpr std::size_t kPidNamespace = 160;

void expect(bool truth) {
  if (!truth) std::abort();
}

struct Action {
  RegistryStep step;
  std::uint16_t where;
  std::uint8_t what;
  std::uint64_t value;
};

struct Input {
  std::uint8_t making = 0;
  std::vector<Action> actions;
  std::vector<std::byte> file;
};

Input take_apart(std::span<const std::uint8_t> data) {
  Input input;
  input.making = data[0];
  const std::size_t count = data[1] % 32;
  data = data.subspan(kRegistryInputHeader);
  for (; input.actions.size() < count && data.size() >= kRegistryStepSize;
       data = data.subspan(kRegistryStepSize)) {
    Action action = {static_cast<RegistryStep>(data[0] % kRegistrySteps), 0, data[3], 0};
    std::memcpy(&action.where, &data[1], sizeof action.where);
    std::memcpy(&action.value, &data[4], sizeof action.value);
    input.actions.push_back(action);
  }
  const auto bytes = std::as_bytes(data).first(std::min(data.size(), kLargest));
  input.file.assign(bytes.begin(), bytes.end());
  return input;
}

std::string live_name(std::size_t index) {
  return (index < 10 ? "live-v1-0" : "live-v1-") + std::to_string(index);
}

/// This process's domain, whose files are damaged, and put back at the end.
class Scene {
 public:
  Scene() : path_(Domain::current().path()), registry_(Domain::current().open_registry()) {
    expect(read_at(registry_.get(), original_.data(), original_.size(), 0));
    expect(link(file(kRegistry).c_str(), file(kKept).c_str()) == 0);
  }
  ~Scene() {
    for (const std::string& name : damaged_) put_back(name, name + kAside);
    put_back(kRegistry, kKept);
    write_registry(original_);
    std::filesystem::remove(file(kObject));
  }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

  void fill(const Input& input) {
    std::vector<std::byte> bytes = input.file;
    const auto put_right = [&](std::size_t from, std::size_t to) {
      bytes.resize(std::max(bytes.size(), to));
      std::copy(&original_[from], &original_[to], &bytes[from]);
    };
    if ((input.making & kRegistryFixHeader) != 0) put_right(0, kIncarnation);
    if ((input.making & kRegistryFixFiles) != 0) put_right(kDevice, kPidNamespace);
    write_registry(bytes);
    if ((input.making & kRegistryFullLength) != 0) cut(kWholeRegistry);
  }
  void scribble(std::size_t at, std::uint64_t value, std::size_t size) const {
    expect(write_at(registry_.get(), &value, size, static_cast<off_t>(at)));
  }
  void cut(std::size_t size) const {
    expect(ftruncate(registry_.get(), static_cast<off_t>(size)) == 0);
  }

  void damage_registry(FileDamage damage) {
    std::filesystem::remove(file(kRegistry));
    replace(file(kRegistry), damage);
  }
  void damage_live(std::size_t index, FileDamage damage) {
    const std::string name = live_name(index);
    if (damaged_.insert(name).second) {
      expect(rename(file(name).c_str(), file(name + kAside).c_str()) == 0);
    }
    std::filesystem::remove(file(name));
    replace(file(name), damage);
  }

  /// An object that, by its bytes, the participant holds both ends of, and has made.
  void make_object(Domain& domain, Tag tag) const {
    std::array<std::byte, 2 * kObjectOffset> bytes = {};
    Stamp stamp =
        make_stamp_of_no_registry({.name = "pipe", .version = 1, .fingerprint = 0}, bytes.size());
    stamp.creator_tag = tag;
    stamp.incarnation = domain.incarnation();
    const auto before = std::as_bytes(std::span(&stamp, 1)).first(offsetof(Stamp, checksum));
    stamp.checksum = Fnv1a().add(before).value();
    std::memcpy(bytes.data(), &stamp, sizeof stamp);
    for (std::size_t end = 0; end < 2; ++end) {
      std::memcpy(&bytes[kObjectOffset + 8 * end], &tag, sizeof tag);
    }
    const UniqueFd fd(open(file(kObject).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    expect(write_at(fd.get(), bytes.data(), bytes.size(), 0));
  }

 private:
  static constexpr const char* kRegistry = "registry-v1";
  static constexpr const char* kKept = "registry-v1.kept";
  static constexpr const char* kAside = ".aside";
  static constexpr const char* kObject = "obj-fuzzed";

  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

  void write_registry(std::span<const std::byte> bytes) const {
    cut(0);
    expect(write_at(registry_.get(), bytes.data(), bytes.size(), 0));
  }
  void put_back(const std::string& name, const std::string& kept) const {
    std::filesystem::remove(file(name));  // a directory as well
    expect(rename(file(kept).c_str(), file(name).c_str()) == 0);
  }
  static void replace(const std::string& path, FileDamage damage) {
    switch (damage) {
      case FileDamage::missing:
        return;
      case FileDamage::empty:
        return expect(static_cast<bool>(UniqueFd(open(path.c_str(), O_CREAT | O_CLOEXEC, 0600))));
      case FileDamage::directory:
        return expect(mkdir(path.c_str(), 0700) == 0);
      case FileDamage::link:
        return expect(symlink(kKept, path.c_str()) == 0);
      case FileDamage::fifo:
        return expect(mkfifo(path.c_str(), 0600) == 0);
    }
  }

  std::string path_;
  UniqueFd registry_;
  std::array<std::byte, internal::kCounterOffset + sizeof(Tag)> original_ = {};
  std::set<std::string> damaged_;
};

/// This process as a participant, as often as one likes.
class Participation {
 public:
  Participation() = default;
  ~Participation() { end(); }
  Participation(const Participation&) = delete;
  Participation& operator=(const Participation&) = delete;

  void begin_anew() {
    end();
    const auto before = guarded_mappings();
    try {
      tag_ = participant::self();
    } catch (const Error&) {
      expect(guarded_mappings() == before);
      return;
    }
    const auto after = guarded_mappings();
    std::set_difference(after.begin(), after.end(), before.begin(), before.end(),
                        std::back_inserter(holds_));
    expect(holds_.size() == 1 && !internal::is_used_up(tag_));
    expect(participant::probe(Domain::current(), tag_) != Liveness::dead);
  }
  [[nodiscard]] Tag tag() const { return tag_; }

 private:
  void end() {
    for (const auto& [address, size] : holds_) expect(munmap(address, size) == 0);
    holds_.clear();
    tag_ = participant::kNobody;
    // Relaxed: this is the only thread.
    g_process_state.tag.store(participant::kNobody, std::memory_order_relaxed);
  }

  Tag tag_ = participant::kNobody;
  std::vector<std::pair<void*, std::size_t>> holds_;
};

class Run {
 public:
  explicit Run(const Input& input) { scene_.fill(input); }

  void perform(const Action& action) {
    try {
      act(action);
    } catch (const Error&) {
      return;  // what it says of the bytes
    }
  }

 private:
  void act(const Action& action) {
    const auto tag = static_cast<Tag>(action.value);
    const auto damage = static_cast<FileDamage>(action.value % kFileDamages);
    switch (action.step) {
      case RegistryStep::scribble:
        return scene_.scribble(action.where * 8UL, action.value, action.what % 8 + 1);
      case RegistryStep::cut:
        return scene_.cut(action.where * 8UL);
      case RegistryStep::open:
        domain_.reset();
        domain_.emplace(scene_.path(),
                        action.what % 2 != 0 ? Domain::Access::look : Domain::Access::use);
        return;
      case RegistryStep::ask:
        return ask();
      case RegistryStep::live_file:
        return static_cast<void>(domain().open_live_file(action.what % Domain::kLiveFiles));
      case RegistryStep::probe:
        return probe(tag);
      case RegistryStep::describe:
        return describe(tag);
      case RegistryStep::attach:
        return self_.begin_anew();
      case RegistryStep::leave:
        return participant::leave();
      case RegistryStep::inspect:
        return inspect(tag);
      case RegistryStep::damage_live:
        return scene_.damage_live(action.what % Domain::kLiveFiles, damage);
      case RegistryStep::damage_registry:
        return scene_.damage_registry(damage);
      case RegistryStep::other:
        return join(tag);
    }
  }

  /// The one that was opened last, or the process's.
  Domain& domain() { return domain_ ? *domain_ : Domain::current(); }

  void ask() {
    expect(domain().has_directory() && domain().live_files() == Domain::kLiveFiles);
    static_cast<void>(domain().incarnation());
    static_cast<void>(domain().in_home_pid_namespace());
    expect(static_cast<bool>(domain().open_registry()));
    expect(domain().directory() >= 0);
  }

  /// By what the kernel sees. This is nobody's process, so that it need not be another one.
  void join(Tag tag) {
    const auto file = static_cast<int>(tag % Domain::kLiveFiles);
    auto hold =
        FileHold::take(Domain::current().open_live_file(file), internal::kLiveBase + off_t{tag},
                       FileHold::Mode::write, FileHold::OnFork::drop);
    if (hold) others_.emplace(tag, std::move(*hold));
  }

  void probe(Tag tag) {
    const bool lives = tag != participant::kNobody && (tag == self_.tag() || others_.contains(tag));
    // What was opened at the beginning tells it, whatever became of the names.
    const Liveness liveness = participant::probe(tag);
    expect(liveness == (lives ? Liveness::alive : Liveness::dead) || liveness == Liveness::unknown);
    expect(lives || participant::probe(domain(), tag) != Liveness::alive);
    expect(lives || !participant::open_pidfd(tag));
  }

  void describe(Tag tag) {
    static_cast<void>(participant::has_left(tag));
    expect(participant::to_text(tag).size() < 100);
    const auto record = participant::describe(domain(), tag);
    expect(!record || (record->tag == tag && record->name.size() <= 16));
  }

  void inspect(Tag tag) {
    scene_.make_object(domain(), tag);
    std::ostringstream out;
    for (const ObjectInfo& object : list_objects(domain())) out << object;
    print_details(out, describe_object(domain(), "fuzzed"));
    const std::string text = out.str();
    expect(!text.empty() && text.size() < 4096);
    expect(std::all_of(text.begin(), text.end(),
                       [](unsigned char c) { return c == '\n' || std::isprint(c) != 0; }));
  }

  Scene scene_;
  std::optional<Domain> domain_;
  std::map<Tag, FileHold> others_;
  Participation self_;
};

}  // namespace
}  // namespace sluice::fuzz

// libFuzzer's names and signatures.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::fuzz;
  if (size < kRegistryInputHeader) return 0;
  const Input input = take_apart({data, size});
  Run run(input);
  for (const Action& action : input.actions) run.perform(action);
  return 0;
}
