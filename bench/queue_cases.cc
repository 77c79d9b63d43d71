// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/queue_cases.h"

#include <cstddef>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "sluice/bench/harness/channels.h"
#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/bench/harness/yardsticks.h"
#include "sluice/bench/many_sides.h"
#include "sluice/bench/rivals/boost_interprocess.h"
#include "sluice/bench/rivals/descriptors.h"
#include "sluice/bench/rivals/message_queues.h"
#include "sluice/bench/rivals/mpmc_queues.h"
#include "sluice/bench/rivals/python_queue.h"
#include "sluice/bench/rivals/sluice_queue.h"

namespace sluice::bench {
namespace {

std::string name_of(Wait wait) { return wait == Wait::block ? "block" : "spin"; }

/// A subject whose queues take the kind of waiting and nothing else.
template <class Queue, class Item, bool kBatches = false>
Subject waiting_subject(const std::string& name, std::size_t sides) {
  Subject subject{name, {}};
  for (const Wait wait : {Wait::block, Wait::spin}) {
    subject.variants.push_back(many_sides<Queue, Item, kBatches>(name_of(wait), sides, wait));
  }
  return subject;
}

Case case_of(const std::string& what, std::size_t sides, const std::string& item) {
  const std::string many = std::to_string(sides);
  const std::string crowd = sides == 1 ? "" : many + "x" + many + "/";
  return {.group = "queue",
          .name = "queue/" + what + "/" + crowd + item,
          .unit = "Mitem/s",
          .better = Better::higher,
          .limit = Yardstick::reference_ring};
}

/// Empty, and said so, if there is no Python.
std::vector<Subject> python(std::size_t bytes) {
  static const bool is_there = PythonQueue::is_there();
  if (is_there) {
    return {{"python",
             {PythonQueue::stream("pinned", bytes, slots_for(bytes), true),
              PythonQueue::stream("free", bytes, slots_for(bytes), false)}}};
  }
  std::cerr << "SKIPPED: python3 with multiprocessing is not there, for items of " << bytes
            << " bytes\n";
  return {};
}

template <std::size_t kSize>
void add_stream(Suite& suite, std::size_t sides) {
  using Item = Message<kSize>;
  std::vector<Subject> subjects = {waiting_subject<SluiceQueue<Item>, Item>("sluice", sides)};
  if constexpr (kSize <= 1024) {
    subjects.push_back({"sluice_mpmc_ring", {many_sides<SluiceMpmc<Item>, Item>("", sides)}});
  }
  subjects.push_back(waiting_subject<PipeQueue<kSize>, Item>("pipe", sides));
  subjects.push_back(waiting_subject<BoostMessageQueue<kSize>, Item>("boost_interprocess", sides));
  if (sides == 1 && (kSize == 8 || kSize == 65536)) {
    for (const Subject& subject : python(kSize)) subjects.push_back(subject);
  }
  suite.add(case_of("oneway", sides, std::to_string(kSize)), subjects);
}

/// Our own alone: how it takes a crowd.
void add_crowds(Suite& suite) {
  using Item = Message<8>;
  for (const std::size_t sides : {4U, 8U, 16U}) {
    suite.add(case_of("oneway", sides, "8"),
              {waiting_subject<SluiceQueue<Item>, Item>("sluice", sides),
               {"sluice_mpmc_ring", {many_sides<SluiceMpmc<Item>, Item>("", sides)}}});
  }
}

/// There and back: `limit` says whether who waits may sleep.
void add_trips(Suite& suite, const std::string& name, Yardstick limit,
               const std::vector<Wait>& waits) {
  using Traffic = RoundTrip<8>;
  Subject sluice{"sluice", {}};
  Subject pipe{"pipe", {}};
  Subject boost{"boost_interprocess", {}};
  for (const Wait wait : waits) {
    const auto add = [&](Subject& subject, auto make) {
      subject.variants.push_back(Traffic::variant(name_of(wait), make));
    };
    add(sluice, [wait] { return std::make_shared<SluiceQueueChannel<8>>(wait); });
    add(pipe, [wait] { return std::make_shared<DescriptorChannel<8>>(make_pipe(wait)); });
    add(boost, [wait] { return std::make_shared<BoostInterprocess<8>>(wait); });
  }
  Case what = Traffic::in_group("queue");
  what.name = name;
  what.limit = limit;
  suite.add(what, {sluice, pipe, boost});
}

}  // namespace

void add_queue_cases(Suite& suite) {
  for (const std::size_t sides : {1U, 2U}) {
    add_stream<8>(suite, sides);
    add_stream<64>(suite, sides);
    add_stream<1024>(suite, sides);
  }
  add_stream<65536>(suite, 1);
  add_crowds(suite);
  suite.add(case_of("batch32", 1, "8"),
            {waiting_subject<SluiceQueue<Message<8>>, Message<8>, true>("sluice", 1),
             {"sluice_mpmc_ring", {many_sides<SluiceMpmc<Message<8>>, Message<8>, true>("", 1)}}});
  suite.add(case_of("string", 1, "100"), {waiting_subject<SluiceTexts, Text>("sluice", 1)});
  add_trips(suite, "queue/rtt/8", Yardstick::pingpong, {Wait::block, Wait::spin});
  // A pinned process has one CPU, where sluice's calls sleep at once.
  add_trips(suite, "queue/rtt_asleep/8", Yardstick::futex_pingpong, {Wait::block});
}

}  // namespace sluice::bench
