// SPDX-License-Identifier: Apache-2.0
//
// Fan-in: three processes push into one queue, and this one pops. The stream ends by itself when
// all producers have left, of those that had come: they say so first. One is killed after its tenth
// item: the others go on, what it had pushed arrives, and the end says that one has died.

#include <csignal>
#include <iostream>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "sluice/ipc/queue.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/shared.h"
#include "sluice/pool/process.h"
#include "sluice/sync/latch.h"
#include "sluice/sync/status.h"

struct Reading {
  std::string sensor;
  int value = 0;
  auto sluice_members() { return std::tie(sensor, value); }
};

int main() {
  sluice::Queue<Reading> readings(16, {.ends_with_producers = true});
  const sluice::Shared<sluice::Latch> all_there(3);
  std::list<sluice::Process> sensors;
  for (const std::string_view name : {"door", "lamp", "oven"}) {
    sensors.emplace_back([&readings, &all_there, name] {
      if (readings.announce_producer() != sluice::Status::ok) return;
      all_there->count_down();
      for (int value = 1; value <= 100; ++value) {
        if (readings.push({std::string(name), value}) != sluice::Status::ok) return;
        if (name == "lamp" && value == 10) raise(SIGKILL);
      }
    });
  }

  all_there->wait();
  struct Seen {
    int count = 0, last = 0;
    bool in_order = true;
  };
  std::map<std::string, Seen> seen;
  for (const Reading& reading : readings.items()) {
    Seen& of_sensor = seen[reading.sensor];
    ++of_sensor.count;
    of_sensor.in_order = of_sensor.in_order && reading.value == of_sensor.last + 1;
    of_sensor.last = reading.value;
  }
  for (const auto& [name, of_sensor] : seen) {
    std::cout << name << ": " << of_sensor.count << " readings"
              << (of_sensor.in_order ? ", in order" : ", out of order") << '\n';
  }
  std::cout << "the end: " << readings.status() << '\n';
}
