// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/unix_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <string_view>

#include "sluice/sync/error.h"
#include "sluice/sync/process_state.h"

namespace sluice::internal {
namespace {

constexpr int kType = SOCK_SEQPACKET;
/// How many bytes of ring() one silence() takes.
constexpr int kMostRings = 64;
/// Between looks where the kernel has nothing to sleep on: a listener whose queue is full, too many
/// descriptors under way.
constexpr std::chrono::milliseconds kNap{1};

struct Address {
  sockaddr_un name;
  socklen_t size;
};

Address parse(const std::string& address, const std::string& tried) {
  Address parsed = {.name = {}, .size = 0};
  const bool abstract = address.starts_with('@');
  if ((!abstract && !address.starts_with('/')) || address.size() < 2 ||
      address.size() >= sizeof parsed.name.sun_path || address.find('\0') != std::string::npos) {
    throw Error::from_errno(
        EINVAL, {.tried = tried,
                 .expected = "a path that begins with '/', or '@' and a name, of 2 to 107 bytes"});
  }
  parsed.name.sun_family = AF_UNIX;
  std::memcpy(parsed.name.sun_path, address.data(), address.size());
  if (abstract) parsed.name.sun_path[0] = '\0';
  parsed.size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size() + (abstract ? 0 : 1));
  return parsed;
}

const sockaddr* generic(const Address& address) {
  return reinterpret_cast<const sockaddr*>(&address.name);
}

UniqueFd new_socket(const std::string& tried) {
  UniqueFd fd(socket(AF_UNIX, kType | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) throw Error::from_errno(errno, {.tried = tried});
  return fd;
}

int option(int fd, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

timespec left_until(Deadline::TimePoint until) {
  using std::chrono::nanoseconds;
  const nanoseconds left = std::max<nanoseconds>(until - Deadline::Clock::now(), nanoseconds(0));
  return {.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(left).count(),
          .tv_nsec = (left % std::chrono::seconds(1)).count()};
}

/// Waits for `events`, or for the end of a nap if there are none; false once the deadline has
/// passed.
bool wait_for(int fd, short events, Deadline deadline) {
  if (deadline.passed()) return false;
  const auto nap = Deadline::Clock::now() + kNap;
  static_cast<void>(sleep_on(events == 0 ? -1 : fd, events, -1,
                             events == 0 ? std::min(deadline.time(), nap) : deadline.time()));
  return true;
}

/// The descriptors that came with a message.
std::vector<UniqueFd> descriptors_in(msghdr& header) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

/// Whether nobody has the socket behind a path any more. Asked with a socket of another type, which
/// one that is alive refuses, lest this come to its listener as a peer.
bool is_stale(const Address& address) {
  const UniqueFd probe(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return connect(probe.get(), generic(address), address.size) != 0 && errno == ECONNREFUSED;
}

/// Binds to a path whose listener is gone. Under a lock on its directory, lest two do it at a time
/// and one remove what the other has just made.
bool bind_anew(int fd, const Address& address) {
  const std::string_view path = address.name.sun_path;
  const std::string directory(path.substr(0, std::max<std::size_t>(path.rfind('/'), 1)));
  const UniqueFd lock(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock || flock(lock.get(), LOCK_EX | LOCK_NB) != 0 || !is_stale(address)) return false;
  unlink(address.name.sun_path);
  return bind(fd, generic(address), address.size) == 0;
}

}  // namespace

short sleep_on(int fd, short events, int other, Deadline::TimePoint until) noexcept {
  std::array<pollfd, 2> polled = {{{fd, events, 0}, {other, POLLRDHUP, 0}}};
  const timespec timeout = left_until(until);
  const bool for_ever = until == Deadline::TimePoint::max();
  if (ppoll(polled.data(), polled.size(), for_ever ? nullptr : &timeout, nullptr) <= 0) return 0;
  return polled[0].revents;
}

bool any_hung_up(std::span<const int> sockets) noexcept {
  std::array<pollfd, 4> polled = {};
  const std::size_t count = std::min(sockets.size(), polled.size());
  for (std::size_t i = 0; i < count; ++i) polled[i] = {sockets[i], POLLRDHUP, 0};
  if (poll(polled.data(), count, 0) <= 0) return false;
  return std::ranges::any_of(polled, [](const pollfd& p) { return p.revents != 0; });
}

UnixSocket::UnixSocket(UniqueFd fd) : fd_(std::move(fd)) {
  if (option(fd_.get(), SO_DOMAIN) == AF_UNIX && option(fd_.get(), SO_TYPE) == kType &&
      option(fd_.get(), SO_ACCEPTCONN) == 0) {
    return;
  }
  throw Error(Status::mismatch, {.tried = "use descriptor " + std::to_string(fd_.get()),
                                 .expected = "a connected Unix socket of type SOCK_SEQPACKET",
                                 .found = "something else"});
}

std::pair<UnixSocket, UnixSocket> UnixSocket::pair() {
  int ends[2];
  if (socketpair(AF_UNIX, kType | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    throw Error::from_errno(errno, {.tried = "make a pair of sockets"});
  }
  std::pair<UnixSocket, UnixSocket> made{UnixSocket(), UnixSocket()};
  made.first.fd_.reset(ends[0]);
  made.second.fd_.reset(ends[1]);
  return made;
}

UnixSocket UnixSocket::connect(const std::string& address, Deadline deadline) {
  const std::string tried = "connect to " + address;
  const Address to = parse(address, tried);
  UnixSocket made;
  made.fd_ = new_socket(tried);
  while (::connect(made.get(), generic(to), to.size) != 0) {
    // EAGAIN: the listener's queue is full, and nothing tells when it is not.
    if (errno != EAGAIN && errno != EINTR) {
      throw Error::from_errno(errno, {.tried = tried, .expected = "somebody who listens there"});
    }
    if (!wait_for(made.get(), 0, deadline)) throw Error(Status::timeout, {.tried = tried});
  }
  return made;
}

PeerCredentials UnixSocket::credentials() const {
  ucred found = {};
  socklen_t size = sizeof found;
  if (getsockopt(get(), SOL_SOCKET, SO_PEERCRED, &found, &size) != 0) {
    throw Error::from_errno(errno, {.tried = "ask who is at the other end of a socket"});
  }
  return {found.pid, found.uid, found.gid};
}

Status UnixSocket::send(std::span<const std::byte> message, std::span<const int> fds,
                        Deadline deadline) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostFds * sizeof(int))> control = {};
  iovec part = {.iov_base = const_cast<std::byte*>(message.data()), .iov_len = message.size()};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  while (sendmsg(get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return Status::closed;
    const bool too_many = errno == ETOOMANYREFS;  // of this user's descriptors are under way
    if (errno != EAGAIN && errno != EINTR && !too_many) {
      throw Error::from_errno(errno, {.tried = "send through a socket"});
    }
    if (!wait_for(get(), too_many ? short{0} : short{POLLOUT}, deadline)) return Status::timeout;
  }
  return Status::ok;
}

Status UnixSocket::recv(std::span<std::byte> room, std::size_t& size, std::vector<UniqueFd>& fds,
                        Deadline deadline) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostFds * sizeof(int))> control = {};
  iovec part = {.iov_base = room.data(), .iov_len = room.size()};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  ssize_t got = -1;
  do {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    got = recvmsg(get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got >= 0) break;
    if (errno == ECONNRESET || errno == ENOTCONN) return Status::closed;
    if (errno != EAGAIN && errno != EINTR) {
      throw Error::from_errno(errno, {.tried = "receive through a socket"});
    }
  } while (wait_for(get(), POLLIN, deadline));
  if (got < 0) return Status::timeout;
  fds = descriptors_in(header);
  size = static_cast<std::size_t>(got);
  if ((header.msg_flags & MSG_CTRUNC) != 0 && fds.size() < kMostFds) {
    throw Error::from_errno(EMFILE, {.tried = "receive descriptors",
                                     .found = "no room for all of them, so that they are lost",
                                     .hint = "close some, or raise the limit (ulimit -n)"});
  }
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return Status::too_large;
  return got == 0 && fds.empty() ? Status::closed : Status::ok;
}

void UnixSocket::ring() const noexcept {
  static_cast<void>(::send(get(), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1);
}

void UnixSocket::silence() const noexcept {
  char byte = 0;
  // Without room for descriptors the kernel drops those that somebody may have sent here.
  for (int i = 0; i < kMostRings && ::recv(get(), &byte, 1, MSG_DONTWAIT) > 0; ++i) continue;
}

void UnixSocket::shut_down() const noexcept { shutdown(get(), SHUT_RDWR); }

UnixListener::UnixListener(std::string address)
    : address_(std::move(address)), maker_(process_mark()) {
  const std::string tried = "listen at " + address_;
  const Address at = parse(address_, tried);
  fd_ = new_socket(tried);
  int error = bind(fd_.get(), generic(at), at.size) == 0 ? 0 : errno;
  if (error == EADDRINUSE && address_[0] == '/' && bind_anew(fd_.get(), at)) error = 0;
  if (error == 0 && listen(fd_.get(), SOMAXCONN) != 0) error = errno;
  if (error != 0) {
    throw Error::from_errno(error,
                            {.tried = tried, .expected = "an address that nobody listens at"});
  }
  open_ = true;
}

UnixListener::UnixListener(UnixListener&& other) noexcept
    : address_(std::move(other.address_)),
      fd_(std::move(other.fd_)),
      maker_(other.maker_),
      open_(other.open_.exchange(false)) {}

UnixListener& UnixListener::operator=(UnixListener&& other) noexcept {
  if (this == &other) return *this;
  close();
  address_ = std::move(other.address_);
  fd_ = std::move(other.fd_);
  maker_ = other.maker_;
  open_ = other.open_.exchange(false);
  return *this;
}

std::optional<UnixSocket> UnixListener::accept(Deadline deadline) {
  while (open_) {
    UniqueFd fd(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd) return UnixSocket(std::move(fd));
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
      if (!open_) break;
      throw Error::from_errno(errno, {.tried = "accept at " + address_});
    }
    if (!wait_for(fd_.get(), POLLIN, deadline)) break;
  }
  return std::nullopt;
}

void UnixListener::close() noexcept {
  if (!open_.exchange(false) || maker_ != process_mark()) return;
  if (address_[0] == '/') unlink(address_.c_str());
  shutdown(fd_.get(), SHUT_RDWR);
}

}  // namespace sluice::internal
