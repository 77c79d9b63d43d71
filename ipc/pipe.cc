// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/pipe.h"

#include <utility>

#include "sluice/ipc/pipe_layout.h"

namespace sluice {

using internal::PipeChannel;
using internal::PipePlan;
using internal::PipeSide;

namespace {

PipePlan plan(std::size_t capacity) {
  return {.duplex = false, .capacity = capacity, .max_message = 0};
}

}  // namespace

Sender::Sender(std::shared_ptr<PipeChannel> channel)
    : Sending(std::move(channel), PipeSide::sender) {}

Sender Sender::claimed(std::shared_ptr<PipeChannel> channel) {
  Sender end(std::move(channel));
  end.claim_or_throw();
  return end;
}

Sender Sender::create(std::string_view name, std::size_t capacity, Lifetime lifetime) {
  return claimed(make(name, plan(capacity), lifetime));
}

Sender Sender::open(std::string_view name) { return claimed(PipeEnd::open(name, false)); }

Sender Sender::open_or_create(std::string_view name, std::size_t capacity, Lifetime lifetime) {
  return claimed(open_or_make(name, plan(capacity), lifetime));
}

Sender Sender::from_fd(UniqueFd fd) { return claimed(attach(std::move(fd), false)); }

Receiver::Receiver(std::shared_ptr<PipeChannel> channel)
    : Receiving(std::move(channel), PipeSide::receiver) {}

Receiver Receiver::claimed(std::shared_ptr<PipeChannel> channel) {
  Receiver end(std::move(channel));
  end.claim_or_throw();
  return end;
}

Receiver Receiver::create(std::string_view name, std::size_t capacity, Lifetime lifetime) {
  return claimed(make(name, plan(capacity), lifetime));
}

Receiver Receiver::open(std::string_view name) { return claimed(PipeEnd::open(name, false)); }

Receiver Receiver::open_or_create(std::string_view name, std::size_t capacity, Lifetime lifetime) {
  return claimed(open_or_make(name, plan(capacity), lifetime));
}

Receiver Receiver::from_fd(UniqueFd fd) { return claimed(attach(std::move(fd), false)); }

Pipe Pipe::create(std::size_t capacity) {
  auto channel = Sender::make_anonymous(plan(capacity));
  return {Receiver(channel), Sender(channel)};
}

}  // namespace sluice
