// SPDX-License-Identifier: Apache-2.0
//
// Eclipse iceoryx as a channel (harness/traffic.h): one publisher and one subscriber of a topic of
// their own, whose publisher waits for a subscriber that is behind. Its daemon, which owns the
// shared memory, runs from the first channel to the end of the benchmark.
//
// If a process dies here: the daemon takes back what it had; it ends with the benchmark itself.

#ifndef SLUICE_BENCH_RIVALS_ICEORYX_H_
#define SLUICE_BENCH_RIVALS_ICEORYX_H_

#ifdef SLUICE_BENCH_HAS_ICEORYX

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iceoryx_hoofs/log/logmanager.hpp>
#include <iceoryx_posh/popo/publisher.hpp>
#include <iceoryx_posh/popo/subscriber.hpp>
#include <iceoryx_posh/popo/wait_set.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/pool/exec.h"
#include "sluice/pool/stdio.h"

namespace sluice::bench {

/// Owns the shared memory.
class IceoryxDaemon {
 public:
  /// Started at the first call.
  static IceoryxDaemon& instance() {
    static IceoryxDaemon daemon;
    return daemon;
  }
  IceoryxDaemon(const IceoryxDaemon&) = delete;
  IceoryxDaemon& operator=(const IceoryxDaemon&) = delete;
  ~IceoryxDaemon() {
    // A client that ends without running destructors, as ours do, is missed after 1.5 s. Told to
    // end before that, the daemon aborts, and leaves its memory behind.
    std::this_thread::sleep_for(std::chrono::seconds(2));
    program_.terminate();
    program_.join(std::chrono::seconds(10));
    // What processes leave behind that end without running destructors.
    for (const auto& file : std::filesystem::directory_iterator("/tmp")) {
      std::error_code ignored;
      if (file.path().filename().string().starts_with(clients_)) {
        std::filesystem::remove(file, ignored);
      }
    }
  }

  /// Once in each process that uses a channel, after the fork.
  void join() const {
    [[maybe_unused]] static auto& runtime = [&]() -> auto& {
      iox::log::LogManager::GetLogManager().SetDefaultLogLevel(
          iox::log::LogLevel::kOff, iox::log::LogLevelOutput::kHideLogLevel);
      const std::string name = clients_ + std::to_string(::getpid());
      return iox::runtime::PoshRuntime::initRuntime({iox::cxx::TruncateToCapacity, name});
    }();
  }

 private:
  IceoryxDaemon() = default;

  /// Chunks for more repetitions than the daemon's own configuration has room for: it takes back
  /// what they held some time after they have ended.
  [[nodiscard]] std::string configuration() const {
    std::string path = "/tmp/" + clients_ + "roudi.toml";
    std::ofstream file(path);
    file << "[general]\nversion = 1\n[[segment]]\n";
    for (const auto& [size, count] :
         {std::pair(128, 20000), {1024, 10000}, {8192, 4000}, {131072, 2000}}) {
      file << "[[segment.mempool]]\nsize = " << size << "\ncount = " << count << '\n';
    }
    require(file.flush().good(), "the configuration of iox-roudi can't be written");
    return path;
  }

  std::string clients_ = "sluice-bench-" + std::to_string(::getpid()) + "-";
  Program program_{
      {"iox-roudi", "--log-level", "off", "--kill-delay", "1", "--config-file", configuration()},
      {.daemon = true, .output = Stdio::null(), .error = Stdio::null()}};
};

template <std::size_t kSize>
class Iceoryx {
  using Topic = iox::capro::ServiceDescription;

 public:
  class Sender {
   public:
    Sender(const Topic& topic, const std::atomic<bool>& receiver_is_there) {
      iox::popo::PublisherOptions options;
      options.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
      publisher_ = std::make_unique<iox::popo::Publisher<Message<kSize>>>(topic, options);
      // The daemon brings the two together, which it looks for ten times a second.
      while (!publisher_->hasSubscribers() || !receiver_is_there)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    void send(const Message<kSize>& message) {
      spin_until<Spin::bare>([&] {
        auto room = publisher_->loan(message);
        if (room.has_error()) return false;  // all chunks of this size are under way
        room.value().publish();
        return true;
      });
    }

   private:
    std::unique_ptr<iox::popo::Publisher<Message<kSize>>> publisher_;
  };

  class Receiver {
   public:
    Receiver(const Topic& topic, Wait wait) {
      iox::popo::SubscriberOptions options;
      options.queueCapacity = slots_for(kSize);  // cut to its limit, 256
      options.queueFullPolicy = iox::popo::QueueFullPolicy::BLOCK_PRODUCER;
      subscriber_ = std::make_unique<iox::popo::Subscriber<Message<kSize>>>(topic, options);
      if (wait == Wait::spin) return;
      sleeper_ = std::make_unique<iox::popo::WaitSet<>>();
      require(
          !sleeper_->attachState(*subscriber_, iox::popo::SubscriberState::HAS_DATA).has_error(),
          "WaitSet::attachState failed");
    }
    void receive(Message<kSize>& message) {
      if (!sleeper_) return spin_until<Spin::bare>([&] { return take(message); });
      while (!take(message)) sleeper_->wait();
    }

   private:
    bool take(Message<kSize>& message) {
      auto sample = subscriber_->take();
      if (sample.has_error()) return false;
      message = *sample.value();
      return true;
    }

    std::unique_ptr<iox::popo::Subscriber<Message<kSize>>> subscriber_;
    std::unique_ptr<iox::popo::WaitSet<>> sleeper_;
  };

  explicit Iceoryx(Wait wait) : wait_(wait) {
    IceoryxDaemon::instance();
    static int last = 0;
    topic_ = {"sluice", "bench", {iox::cxx::TruncateToCapacity, std::to_string(++last)}};
  }

  [[nodiscard]] Sender sender() {
    IceoryxDaemon::instance().join();
    return Sender(topic_, *receiver_is_there_);
  }
  [[nodiscard]] Receiver receiver() {
    IceoryxDaemon::instance().join();
    Receiver receiver(topic_, wait_);
    *receiver_is_there_ = true;
    return receiver;
  }

 private:
  Wait wait_;
  Topic topic_;
  InShared<std::atomic<bool>> receiver_is_there_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HAS_ICEORYX

#endif  // SLUICE_BENCH_RIVALS_ICEORYX_H_
