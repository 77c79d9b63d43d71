// SPDX-License-Identifier: Apache-2.0
//
// POSIX message queues (mq_overview(7)) as channels (harness/traffic.h): as deep as the system lets
// this user make them, and without a name once they are open.

#ifndef SLUICE_BENCH_RIVALS_POSIX_MQ_H_
#define SLUICE_BENCH_RIVALS_POSIX_MQ_H_

#include <fcntl.h>
#include <mqueue.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <string>
#include <system_error>

#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/traffic.h"

namespace sluice::bench {

template <std::size_t kSize>
class PosixMq {
 public:
  struct Sender {
    void send(const Message<kSize>& message) {
      spin_until<Spin::bare>([&] {
        if (::mq_send(queue, text_of(message), kSize, 0) == 0) return true;
        require(errno == EAGAIN, "mq_send failed");
        return false;
      });
    }
    mqd_t queue;
  };
  struct Receiver {
    void receive(Message<kSize>& message) {
      spin_until<Spin::bare>([&] {
        const ssize_t size =
            ::mq_receive(queue, reinterpret_cast<char*>(message.bytes()), kSize, nullptr);
        if (size == static_cast<ssize_t>(kSize)) return true;
        require(size < 0 && errno == EAGAIN, "mq_receive failed");
        return false;
      });
    }
    mqd_t queue;
  };

  explicit PosixMq(Wait wait) : queue_(open(wait)) {}
  PosixMq(const PosixMq&) = delete;
  PosixMq& operator=(const PosixMq&) = delete;
  ~PosixMq() { ::mq_close(queue_); }

  [[nodiscard]] Sender sender() { return {queue_}; }
  [[nodiscard]] Receiver receiver() { return {queue_}; }

  /// Whether a queue for messages of this size can be made at all (/proc/sys/fs/mqueue).
  [[nodiscard]] static bool is_allowed() {
    try {
      const PosixMq trial(Wait::block);
      return true;
    } catch (const std::system_error&) {
      return false;
    }
  }

 private:
  static const char* text_of(const Message<kSize>& message) {
    return reinterpret_cast<const char*>(message.bytes());
  }

  static mqd_t open(Wait wait) {
    // The soft limit of bytes in all queues, up to what is allowed.
    rlimit limit = {};
    if (::getrlimit(RLIMIT_MSGQUEUE, &limit) == 0 && limit.rlim_cur != limit.rlim_max) {
      limit.rlim_cur = limit.rlim_max;
      ::setrlimit(RLIMIT_MSGQUEUE, &limit);
    }
    const std::string name = "/sluice-bench-" + std::to_string(::getpid());
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | (wait == Wait::spin ? O_NONBLOCK : 0);
    for (std::size_t depth = slots_for(kSize); depth > 0; depth /= 2) {
      mq_attr attributes = {};
      attributes.mq_maxmsg = static_cast<long>(depth);
      attributes.mq_msgsize = kSize;
      const mqd_t queue = ::mq_open(name.c_str(), flags, 0600, &attributes);
      if (queue < 0) continue;
      ::mq_unlink(name.c_str());
      return queue;
    }
    throw std::system_error(errno, std::generic_category(), "mq_open");
  }

  mqd_t queue_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_POSIX_MQ_H_
