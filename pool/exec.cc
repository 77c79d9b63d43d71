// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/exec.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstddef>
#include <cstdlib>
#include <ctime>
#include <set>
#include <stdexcept>
#include <utility>

#include "sluice/pool/child.h"
#include "sluice/pool/lifeline.h"
#include "sluice/pool/pidfd.h"
#include "sluice/pool/start_options.h"
#include "sluice/sync/error.h"

namespace sluice {
namespace {

constexpr const char* kInheritedVariable = "SLUICE_INHERITED";
constexpr const char* kExecute = "execute it";
constexpr const char* kEnterDirectory = "enter its directory";
constexpr int kStandardStreams = 3;

/// Everything that the child needs, made before it: it allocates nothing, and calls nothing that is
/// not async-signal-safe, for it shares its parent's memory.
struct Plan {
  std::vector<char*> arguments;  ///< null-terminated, as the next
  std::vector<char*> environment;
  const char* directory = nullptr;
  std::vector<int> descriptors;  ///< the child's, from 0 on; of the standard ones -1 is "as it is"
  int lifeline = -1;             ///< the last of them, for a daemon
  bool error_to_output = false;

  // Written by the child; the parent goes on when it has ended, or is another program.
  const char* failed_step = nullptr;
  int error = 0;
};

[[noreturn]] void fail(Plan& plan, const char* step) noexcept {
  plan.error = errno;
  plan.failed_step = step;
  _exit(127);
}

/// First all of them out of the way, then each to its number: none overwrites one still needed.
void place_descriptors(Plan& plan) noexcept {
  const int count = static_cast<int>(plan.descriptors.size());
  for (int& descriptor : plan.descriptors) {
    if (descriptor < 0) continue;
    descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, count);
    if (descriptor < 0) fail(plan, "copy its descriptors");
  }
  for (int number = 0; number < count; ++number) {
    const int descriptor = plan.descriptors[static_cast<std::size_t>(number)];
    if (descriptor >= 0 && dup2(descriptor, number) < 0) fail(plan, "place its descriptors");
  }
  if (plan.error_to_output && dup2(STDOUT_FILENO, STDERR_FILENO) < 0) {
    fail(plan, "place its standard error");
  }
  // What is left has O_CLOEXEC if it is ours, or the host forgot it. Where the kernel refuses, that
  // is all that can be done.
  syscall(SYS_close_range, static_cast<unsigned>(count), UINT_MAX, 0U);
}

/// The child. Its signals are blocked, and it has descriptors and a directory of its own.
int become_program(void* argument) noexcept {
  Plan& plan = *static_cast<Plan*>(argument);
  if (plan.lifeline >= 0 && !internal::tie_to_lifeline(plan.lifeline)) {
    fail(plan, "tie its life to ours");
  }
  place_descriptors(plan);
  if (plan.directory != nullptr && chdir(plan.directory) != 0) fail(plan, kEnterDirectory);
  internal::reset_signals();
  execvpe(plan.arguments[0], plan.arguments.data(), plan.environment.data());
  fail(plan, kExecute);
}

/// Where the child runs until it is another program.
class Stack {
 public:
  /// execvpe() puts a path and, for a script without a first line, the arguments on it.
  explicit Stack(std::size_t arguments) : size_(kSize + arguments * sizeof(char*)) {
    size_ = (size_ + kPage - 1) / kPage * kPage;
    memory_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK,
                   -1, 0);
    if (memory_ == MAP_FAILED) throw Error::from_errno(errno, {.tried = "map a child's stack"});
    mprotect(memory_, kPage, PROT_NONE);  // it grows down, and no further
  }
  ~Stack() { munmap(memory_, size_); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  [[nodiscard]] void* top() const noexcept { return static_cast<std::byte*>(memory_) + size_; }

 private:
  static constexpr std::size_t kPage = 4096;
  static constexpr std::size_t kSize = std::size_t{64} * 1024;

  std::size_t size_;
  void* memory_;
};

std::string file_name_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

void check_text(const std::string& text) {
  if (text.find('\0') != std::string::npos) {
    throw std::logic_error("a text for a program has a zero byte in it");
  }
}

StartOptions checked(const std::vector<std::string>& arguments, const ExecOptions& options) {
  if (arguments.empty()) throw std::logic_error("a program without even a name");
  for (const std::string& argument : arguments) check_text(argument);
  check_text(options.directory);
  std::set<std::string_view> names;
  for (const auto& [name, descriptor] : options.inherited) {
    check_text(name);
    if (name.find_first_of(",:") != std::string::npos || !names.insert(name).second) {
      throw std::logic_error("not a name for an inherited descriptor: \"" + name + "\"");
    }
    if (descriptor < 0) throw std::logic_error("no descriptor to inherit: \"" + name + "\"");
  }
  return {.name = options.name.empty() ? file_name_of(arguments[0]) : options.name,
          .daemon = options.daemon};
}

/// Its end of one standard stream; -1 for ours.
int open_stream(internal::ChildRecord& child, std::size_t number, const Stdio& stdio) {
  auto& [ours, theirs] = child.streams.at(number);
  const bool reads = number == STDIN_FILENO;
  int flags = O_CLOEXEC | (reads ? O_RDONLY : O_WRONLY | O_CREAT);
  std::string path = stdio.path();
  switch (stdio.kind()) {
    case Stdio::Kind::inherit:
    case Stdio::Kind::output:
      return -1;
    case Stdio::Kind::captured:
      internal::keep_pipe(reads ? theirs : ours, reads ? ours : theirs, "a pipe to capture");
      fcntl(ours.get(), F_SETFL, fcntl(ours.get(), F_GETFL) | O_NONBLOCK);
      return theirs.get();
    case Stdio::Kind::null:
      path = "/dev/null";
      break;
    case Stdio::Kind::file:
      flags |= reads ? 0 : O_TRUNC;
      break;
    case Stdio::Kind::append:
      flags |= reads ? 0 : O_APPEND;
      break;
  }
  constexpr mode_t kMode = 0666;
  internal::keep(theirs, [&] { return UniqueFd(open(path.c_str(), flags, kMode)); });
  if (!theirs) {
    throw Error::from_errno(errno,
                            {.tried = "run the program \"" + child.name + "\": open \"" + path +
                                      "\" as its standard stream " + std::to_string(number)});
  }
  return theirs.get();
}

/// "NAME=value" each, with what is inherited.
std::vector<std::string> variables(const ExecOptions& options) {
  Environment all = options.environment ? *options.environment : current_environment();
  all.erase(kInheritedVariable);
  int number = kStandardStreams;
  for (const Inherited& inherited : options.inherited) {
    std::string& text = all[kInheritedVariable];
    if (!text.empty()) text += ',';
    text.append(inherited.name).append(1, ':').append(std::to_string(number++));
  }
  std::vector<std::string> lines;
  for (const auto& [name, value] : all) {
    lines.push_back(name + "=" + value);
    check_text(lines.back());
  }
  return lines;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void throw_failure(const Plan& plan) {
  const std::string program = plan.arguments[0];
  std::string step = plan.failed_step;
  if (plan.failed_step == kEnterDirectory) step += std::string(" \"") + plan.directory + "\"";
  const bool looked_for = plan.failed_step == kExecute && program.find('/') == std::string::npos;
  throw Error::from_errno(plan.error, {.tried = "run the program \"" + program + "\": " + step,
                                       .hint = looked_for ? "it was looked for in PATH" : ""});
}

/// Starts it; the plan says whether it has become the program.
pid_t clone_program(internal::ChildRecord& child, Plan& plan) {
  const Stack stack(plan.arguments.size());
  const internal::BlockSignals blocked;
  // CLONE_VM and CLONE_VFORK: no page table is copied, and we go on when it has another memory, or
  // none. The kernel has opened the pidfd before it runs.
  constexpr int kFlags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
  return clone(become_program, stack.top(), kFlags, &plan, &child.new_pidfd);
}

void start_program(internal::ChildRecord& child, Plan& plan) {
  const pid_t pid = clone_program(child, plan);
  if (pid < 0) {
    throw Error::from_errno(
        errno, {.tried = std::string("start the program \"") + plan.arguments[0] + "\"",
                .hint = "see ulimit -u"});
  }
  if (plan.failed_step != nullptr) {
    internal::collect_child(pid, child.new_pidfd);
    throw_failure(plan);
  }
  internal::entered_child_runs(child, pid);
}

/// write(2) whose reader may be gone: no SIGPIPE, unless one was on its way already.
ssize_t write_quietly(int fd, std::string_view bytes) {
  sigset_t pipe;
  sigset_t before;
  sigset_t pending;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  sigpending(&pending);
  pthread_sigmask(SIG_BLOCK, &pipe, &before);
  const ssize_t n = write(fd, bytes.data(), bytes.size());
  const int error = errno;
  if (n < 0 && error == EPIPE && sigismember(&pending, SIGPIPE) == 0) {
    const timespec at_once = {};
    while (sigtimedwait(&pipe, nullptr, &at_once) < 0 && errno == EINTR) continue;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return n;
}

/// What is there now, to a limit that leaves time to look at the deadline; closes a stream at its
/// end.
void read_some(UniqueFd& stream, std::string& into) {
  constexpr std::size_t kMost = std::size_t{1} << 20;
  std::array<char, 16384> bytes;
  for (std::size_t got = 0; stream && got < kMost;) {
    const ssize_t n = read(stream.get(), bytes.data(), bytes.size());
    if (n > 0) {
      into.append(bytes.data(), static_cast<std::size_t>(n));
      got += static_cast<std::size_t>(n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
      internal::drop(stream);
    } else if (errno == EAGAIN) {
      return;
    }
  }
}

}  // namespace

Environment current_environment() {
  Environment all;
  for (char** line = environ; line != nullptr && *line != nullptr; ++line) {
    const std::string_view text(*line);
    const auto equals = text.find('=');
    if (equals != std::string_view::npos)
      all.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return all;
}

Program::Program(std::vector<std::string> arguments, ExecOptions options)
    : Process(checked(arguments, options)) {
  std::vector<std::string> environment = variables(options);
  internal::ChildRecord& child = *unstarted("start");
  internal::enter(child);
  try {
    Plan plan;
    plan.arguments = pointers_to(arguments);
    plan.environment = pointers_to(environment);
    plan.directory = options.directory.empty() ? nullptr : options.directory.c_str();
    plan.error_to_output = options.error.kind() == Stdio::Kind::output;
    for (const Stdio* stdio : {&options.input, &options.output, &options.error}) {
      plan.descriptors.push_back(open_stream(child, plan.descriptors.size(), *stdio));
    }
    for (const Inherited& inherited : options.inherited) {
      plan.descriptors.push_back(inherited.descriptor);
    }
    plan.lifeline = child.lifeline[0].get();
    if (child.daemon) plan.descriptors.push_back(plan.lifeline);
    start_program(child, plan);
  } catch (...) {
    internal::take_back(child);
    throw;
  }
}

void Program::feed() {
  UniqueFd& stream = started("communicate")->streams[STDIN_FILENO][0];
  while (stream && fed_ < input_.size()) {
    const ssize_t n = write_quietly(stream.get(), std::string_view(input_).substr(fed_));
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0 && errno != EINTR) break;  // it does not read any more
    if (n > 0) fed_ += static_cast<std::size_t>(n);
  }
  internal::drop(stream);
}

void Program::wait_for_streams(Deadline deadline) {
  const auto& child = started("communicate");
  std::array<struct pollfd, 4> watched = {};
  for (std::size_t i = 0; i < child->streams.size(); ++i) {
    watched.at(i) = {.fd = child->streams.at(i)[0].get(),
                     .events = static_cast<short>(i == STDIN_FILENO ? POLLOUT : POLLIN),
                     .revents = 0};
  }
  watched[3] = {.fd = child->pidfd.get(), .events = POLLIN, .revents = 0};
  const Deadline slice =
      child->pidfd ? deadline : std::min(deadline, Deadline(internal::kLookAgain));
  poll(watched.data(), watched.size(), internal::poll_timeout(slice));  // whatever it says, we look
}

bool Program::communicate(std::string_view input, Deadline deadline) {
  const auto& child = started("communicate");
  input_ += input;
  for (;;) {
    // Looked at first: what it wrote before its end is there when that has come.
    const bool ended = internal::has_been_joined(*child) || !internal::is_alive(*child);
    feed();
    read_some(child->streams[STDOUT_FILENO][0], output_);
    read_some(child->streams[STDERR_FILENO][0], error_);
    if (ended) break;
    if (deadline.passed()) return false;
    wait_for_streams(deadline);
  }
  for (auto& stream : child->streams) internal::drop(stream[0]);
  return Process::wait(Deadline::never());
}

bool Program::wait(Deadline deadline) { return communicate({}, deadline); }

UniqueFd inherited_descriptor(std::string_view name) {
  const char* const variable = std::getenv(kInheritedVariable);  // NOLINT(concurrency-mt-unsafe)
  std::string_view rest = variable != nullptr ? variable : "";
  while (!rest.empty()) {
    const std::string_view entry = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), entry.size() + 1));
    const auto colon = entry.rfind(':');
    int number = -1;
    if (colon == std::string_view::npos || entry.substr(0, colon) != name) continue;
    std::from_chars(entry.data() + colon + 1, entry.data() + entry.size(), number);
    UniqueFd copy(fcntl(number, F_DUPFD_CLOEXEC, 0));
    if (copy) return copy;
  }
  throw Error::from_errno(ENOENT,
                          {.tried = "take the inherited descriptor \"" + std::string(name) + "\"",
                           .expected = "it among those that this program was started with",
                           .found = variable != nullptr ? variable : "none at all"});
}

}  // namespace sluice
