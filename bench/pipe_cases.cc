// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/pipe_cases.h"

#include <sys/socket.h>

#include <cstddef>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "sluice/bench/harness/channels.h"
#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/yardsticks.h"
#include "sluice/bench/rivals/boost_interprocess.h"
#include "sluice/bench/rivals/descriptors.h"
#include "sluice/bench/rivals/iceoryx.h"
#include "sluice/bench/rivals/message_libraries.h"
#include "sluice/bench/rivals/posix_mq.h"
#include "sluice/bench/rivals/sluice_connection.h"
#include "sluice/bench/rivals/sluice_pipe.h"

namespace sluice::bench {
namespace {

std::string name_of(Wait wait) { return wait == Wait::block ? "block" : "spin"; }

/// A subject whose channels take the kind of waiting and nothing else.
template <class Traffic, class Channel>
Subject waiting_subject(const std::string& name) {
  Subject subject{name, {}};
  for (const Wait wait : {Wait::block, Wait::spin}) {
    subject.variants.push_back(
        Traffic::variant(name_of(wait), [wait] { return std::make_shared<Channel>(wait); }));
  }
  return subject;
}

template <class Traffic>
Subject pipe_subject() {
  Subject subject{"pipe", {}};
  for (const Wait wait : {Wait::block, Wait::spin}) {
    subject.variants.push_back(Traffic::variant(name_of(wait), [wait] {
      return std::make_shared<DescriptorChannel<Traffic::kSize>>(make_pipe(wait));
    }));
  }
  return subject;
}

template <class Traffic>
Subject socketpair_subject() {
  Subject subject{"socketpair", {}};
  for (const int type : {SOCK_SEQPACKET, SOCK_STREAM}) {
    const std::string type_name = type == SOCK_STREAM ? "stream_" : "seqpacket_";
    for (const Wait wait : {Wait::block, Wait::spin}) {
      subject.variants.push_back(Traffic::variant(type_name + name_of(wait), [type, wait] {
        return std::make_shared<DescriptorChannel<Traffic::kSize>>(make_socket_pair(type, wait));
      }));
    }
  }
  return subject;
}

template <class Traffic>
std::vector<Subject> pipes() {
  constexpr std::size_t kSize = Traffic::kSize;
  std::vector<Subject> subjects = {
      waiting_subject<Traffic, SluicePipe<kSize>>("sluice"),
      waiting_subject<Traffic, SluiceConnection<kSize>>("sluice_connection"),
      waiting_subject<Traffic, SluiceSealed<kSize>>("sluice_sealed"),
      pipe_subject<Traffic>(),
      socketpair_subject<Traffic>(),
      waiting_subject<Traffic, BoostInterprocess<kSize>>("boost_interprocess")};
  if (PosixMq<kSize>::is_allowed()) {
    subjects.push_back(waiting_subject<Traffic, PosixMq<kSize>>("posix_mq"));
  } else {
    std::cerr << "SKIPPED: posix_mq with messages of " << kSize
              << " bytes: /proc/sys/fs/mqueue forbids it\n";
  }
#ifdef SLUICE_BENCH_HAS_ZEROMQ
  subjects.push_back(waiting_subject<Traffic, ZeroMq<kSize>>("zeromq"));
#endif
#ifdef SLUICE_BENCH_HAS_NNG
  subjects.push_back(waiting_subject<Traffic, Nng<kSize>>("nng"));
#endif
#ifdef SLUICE_BENCH_HAS_ICEORYX
  subjects.push_back(waiting_subject<Traffic, Iceoryx<kSize>>("iceoryx"));
#endif
  return subjects;
}

template <class... Traffics>
void add_pipes(Suite& suite) {
  (suite.add(Traffics::in_group("pipe"), pipes<Traffics>()), ...);
}

void add_asleep(Suite& suite) {
  using Traffic = RoundTrip<8>;
  Case what = Traffic::in_group("pipe");
  what.name = "pipe/rtt_asleep/8";
  what.limit = Yardstick::futex_pingpong;
  // A pinned process has one CPU, where sluice's calls sleep at once.
  const auto blocking = []<class Channel>(const std::string& name, Channel make) {
    return Subject{name, {Traffic::variant("block", make)}};
  };
  suite.add(
      what,
      {blocking("sluice", [] { return std::make_shared<SluicePipe<8>>(Wait::block); }),
       blocking("sluice_connection",
                [] { return std::make_shared<SluiceConnection<8>>(Wait::block); }),
       blocking("pipe",
                [] { return std::make_shared<DescriptorChannel<8>>(make_pipe(Wait::block)); }),
       blocking("socketpair", [] {
         return std::make_shared<DescriptorChannel<8>>(make_socket_pair(SOCK_STREAM, Wait::block));
       })});
}

}  // namespace

void add_pipe_cases(Suite& suite) {
#ifndef SLUICE_BENCH_HAS_ZEROMQ
  std::cerr << "SKIPPED: zeromq: no <zmq.h>\n";
#endif
#ifndef SLUICE_BENCH_HAS_NNG
  std::cerr << "SKIPPED: nng: no <nng/nng.h>\n";
#endif
#ifndef SLUICE_BENCH_HAS_ICEORYX
  std::cerr << "SKIPPED: iceoryx: no <iceoryx_posh/popo/publisher.hpp>\n";
#endif
  add_asleep(suite);
  add_pipes<OneWay<8>, OneWay<64>, OneWay<256>, OneWay<1024>, OneWay<4096>, OneWay<65536>>(suite);
  add_pipes<SlowReader<64>>(suite);
  add_pipes<RoundTrip<8>, RoundTrip<64>, RoundTrip<1024>, RoundTrip<65536>>(suite);
}

}  // namespace sluice::bench
