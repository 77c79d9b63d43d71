// SPDX-License-Identifier: Apache-2.0
//
// ZeroMQ and nng as channels (harness/traffic.h): a pair of sockets over a Unix socket, which is
// the nearest they have to shared memory. Both have threads of their own for that, pinned with
// their process.

#ifndef SLUICE_BENCH_RIVALS_MESSAGE_LIBRARIES_H_
#define SLUICE_BENCH_RIVALS_MESSAGE_LIBRARIES_H_

#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <string>

#ifdef SLUICE_BENCH_HAS_ZEROMQ
#include <zmq.h>
#endif
#ifdef SLUICE_BENCH_HAS_NNG
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#endif

#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/traffic.h"

namespace sluice::bench {

/// A name that nobody else has, of a socket that is in no directory.
inline std::string fresh_endpoint() {
  static int last = 0;
  return "sluice-bench-" + std::to_string(::getpid()) + "-" + std::to_string(++last);
}

#ifdef SLUICE_BENCH_HAS_ZEROMQ
template <std::size_t kSize>
class ZeroMq {
  struct Socket {
    Socket() : context(::zmq_ctx_new()), socket(::zmq_socket(context, ZMQ_PAIR)) {
      constexpr int kMost = slots_for(kSize);
      constexpr int kSoon = 1;
      ::zmq_setsockopt(socket, ZMQ_SNDHWM, &kMost, sizeof kMost);
      ::zmq_setsockopt(socket, ZMQ_RCVHWM, &kMost, sizeof kMost);
      ::zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &kSoon, sizeof kSoon);
    }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    ~Socket() {
      ::zmq_close(socket);
      ::zmq_ctx_term(context);
    }
    void* context;
    void* socket;
  };

 public:
  struct Sender {
    void send(const Message<kSize>& message) {
      spin_until<Spin::bare>([&] {
        if (::zmq_send(own->socket, message.bytes(), kSize, flags) == int{kSize}) return true;
        require(errno == EAGAIN, "zmq_send failed");
        return false;
      });
    }
    std::shared_ptr<Socket> own;
    int flags;
  };
  struct Receiver {
    void receive(Message<kSize>& message) {
      spin_until<Spin::bare>([&] {
        if (::zmq_recv(own->socket, message.bytes(), kSize, flags) == int{kSize}) return true;
        require(errno == EAGAIN, "zmq_recv failed");
        return false;
      });
    }
    std::shared_ptr<Socket> own;
    int flags;
  };

  explicit ZeroMq(Wait wait) : flags_(wait == Wait::spin ? ZMQ_DONTWAIT : 0) {}

  [[nodiscard]] Sender sender() {
    // Kept: what a socket has not sent yet is lost with it.
    const Sender sender{kept_ = std::make_shared<Socket>(), flags_};
    require(::zmq_connect(sender.own->socket, endpoint_.c_str()) == 0, "zmq_connect failed");
    return sender;
  }
  [[nodiscard]] Receiver receiver() {
    Receiver receiver{std::make_shared<Socket>(), flags_};
    require(::zmq_bind(receiver.own->socket, endpoint_.c_str()) == 0, "zmq_bind failed");
    return receiver;
  }

 private:
  std::string endpoint_ = "ipc://@" + fresh_endpoint();
  int flags_;
  std::shared_ptr<Socket> kept_;
};
#endif

#ifdef SLUICE_BENCH_HAS_NNG
template <std::size_t kSize>
class Nng {
  struct Socket {
    Socket() {
      require(::nng_pair0_open(&socket) == 0, "nng_pair0_open failed");
      constexpr int kMost = slots_for(kSize) < 8192 ? static_cast<int>(slots_for(kSize)) : 8192;
      ::nng_socket_set_int(socket, NNG_OPT_SENDBUF, kMost);
      ::nng_socket_set_int(socket, NNG_OPT_RECVBUF, kMost);
      ::nng_socket_set_ms(socket, NNG_OPT_RECONNMINT, 1);
      ::nng_socket_set_ms(socket, NNG_OPT_RECONNMAXT, 1);
    }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    ~Socket() { ::nng_close(socket); }
    nng_socket socket = NNG_SOCKET_INITIALIZER;
  };

 public:
  struct Sender {
    void send(const Message<kSize>& message) {
      // Its calls do not write to what they are given.
      auto* const bytes = const_cast<std::byte*>(message.bytes());
      spin_until<Spin::bare>([&] {
        const int error = ::nng_send(own->socket, bytes, kSize, flags);
        require(error == 0 || error == NNG_EAGAIN, "nng_send failed");
        return error == 0;
      });
    }
    std::shared_ptr<Socket> own;
    int flags;
  };
  struct Receiver {
    void receive(Message<kSize>& message) {
      spin_until<Spin::bare>([&] {
        std::size_t size = kSize;
        const int error = ::nng_recv(own->socket, message.bytes(), &size, flags);
        require((error == 0 && size == kSize) || error == NNG_EAGAIN, "nng_recv failed");
        return error == 0;
      });
    }
    std::shared_ptr<Socket> own;
    int flags;
  };

  explicit Nng(Wait wait) : flags_(wait == Wait::spin ? NNG_FLAG_NONBLOCK : 0) {}

  [[nodiscard]] Sender sender() {
    const Sender sender{kept_ = std::make_shared<Socket>(), flags_};  // kept: as above
    require(::nng_dial(sender.own->socket, endpoint_.c_str(), nullptr, NNG_FLAG_NONBLOCK) == 0,
            "nng_dial failed");
    return sender;
  }
  [[nodiscard]] Receiver receiver() {
    Receiver receiver{std::make_shared<Socket>(), flags_};
    require(::nng_listen(receiver.own->socket, endpoint_.c_str(), nullptr, 0) == 0,
            "nng_listen failed");
    return receiver;
  }

 private:
  std::string endpoint_ = "abstract://" + fresh_endpoint();
  int flags_;
  std::shared_ptr<Socket> kept_;
};
#endif

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_MESSAGE_LIBRARIES_H_
