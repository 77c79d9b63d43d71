// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/weak_memory.h"

#include <algorithm>
#include <cstring>

namespace sluice::internal {
namespace {

using Order = std::memory_order;

// The model asks what an order contains; it orders nothing itself.
bool acquires(Order order) {
  return order == Order::acquire || order == Order::consume || order == Order::acq_rel ||
         order == Order::seq_cst;
}
bool releases(Order order) {
  return order == Order::release || order == Order::acq_rel || order == Order::seq_cst;
}
// As above: the one order in which all agree.
bool is_in_order(Order order) { return order == Order::seq_cst; }

std::uint64_t read_raw(WordAt word) {
  std::uint64_t value = 0;
  std::memcpy(&value, word.address, word.bytes);  // little-endian: the low bytes
  return value;
}

}  // namespace

void WeakMemory::reset(unsigned threads, unsigned history) {
  threads_ = threads;
  history_ = std::max(history, 1U);
  thread_.resize(threads);
  for (unsigned i = 0; i < threads; ++i) {
    thread_[i].now.assign(threads, 0);
    thread_[i].now[i] = 1;
    thread_[i].acquired.clear();
    thread_[i].released.clear();
  }
  used_ = 0;
  index_.clear();
  cells_.clear();
  in_order_.clear();
}

std::size_t WeakMemory::locate(WordAt word) {
  const auto [found, fresh] = index_.try_emplace(word.address, used_);
  if (fresh) {
    if (used_ == locations_.size()) locations_.emplace_back();
    Location& location = locations_[used_++];
    location.ring.resize(history_);
    location.newest = location.woken = 0;
    location.ring[0].value = read_raw(word);
    location.ring[0].view.clear();
  }
  return found->second;
}

WeakMemory::Entry& WeakMemory::entry(std::size_t location, std::uint32_t index) {
  return locations_[location].ring[index % history_];
}

std::uint32_t WeakMemory::at(const View& view, std::size_t index) {
  return index < view.size() ? view[index] : 0;
}

void WeakMemory::raise(View& view, std::size_t index, std::uint32_t value) {
  if (view.size() <= index) view.resize(index + 1, 0);
  view[index] = std::max(view[index], value);
}

void WeakMemory::join(View& into, const View& from, std::size_t first) {
  if (into.size() < from.size()) into.resize(from.size(), 0);
  for (std::size_t i = first; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}

std::uint32_t WeakMemory::oldest(unsigned thread, std::size_t location, Order order) const {
  const Location& l = locations_[location];
  const std::uint32_t kept = l.newest + 1 > history_ ? l.newest + 1 - history_ : 0;
  std::uint32_t from = std::max(kept, at(thread_[thread].now, threads_ + location));
  if (is_in_order(order)) from = std::max(from, at(in_order_, threads_ + location));
  return from;
}

/// `thread` has read entry `index`.
void WeakMemory::saw(unsigned thread, std::size_t location, std::uint32_t index, Order order) {
  Thread& t = thread_[thread];
  raise(t.now, threads_ + location, index);
  join(acquires(order) ? t.now : t.acquired, entry(location, index).view);
  if (is_in_order(order)) raise(in_order_, threads_ + location, index);
}

/// A store; one that `continues` is the second half of a read-modify-write.
void WeakMemory::append(unsigned thread, std::size_t location, WordAt word, std::uint64_t value,
                        Order order, bool continues) {
  Location& l = locations_[location];
  Thread& t = thread_[thread];
  View view = releases(order) ? t.now : t.released;
  if (continues) join(view, entry(location, l.newest).view);
  const std::uint32_t index = ++l.newest;
  raise(t.now, threads_ + location, index);
  raise(view, threads_ + location, index);
  Entry& e = entry(location, index);
  e.value = value;
  std::swap(e.view, view);
  if (is_in_order(order)) raise(in_order_, threads_ + location, index);
  ++t.now[thread];
  std::memcpy(word.address, &value, word.bytes);
}

std::uint64_t WeakMemory::load(unsigned thread, WordAt word, Order order, Chooser& chooser) {
  const std::size_t location = locate(word);
  const std::uint32_t newest = locations_[location].newest;
  const std::uint32_t from = oldest(thread, location, order);
  const std::uint32_t back =
      from == newest ? 0 : static_cast<std::uint32_t>(chooser.choose(newest - from + 1));
  saw(thread, location, newest - back, order);
  return entry(location, newest - back).value;
}

void WeakMemory::store(unsigned thread, WordAt word, std::uint64_t value, Order order) {
  append(thread, locate(word), word, value, order, false);
}

std::uint64_t WeakMemory::latest(WordAt word) {
  const std::size_t location = locate(word);
  return entry(location, locations_[location].newest).value;
}

bool WeakMemory::cas(unsigned thread, WordAt word, std::uint64_t& expected, std::uint64_t desired,
                     Order order, Chooser& chooser) {
  const std::size_t location = locate(word);
  const std::uint32_t newest = locations_[location].newest;
  // Relaxed: a failure is a relaxed load.
  const std::uint32_t from = oldest(thread, location, Order::relaxed);
  // It may find the latest, and what is older if that makes it fail.
  const auto may_find = [&](std::uint32_t i) { return entry(location, i).value != expected; };
  std::size_t possible = 1;
  for (std::uint32_t i = from; i < newest; ++i) possible += may_find(i) ? 1 : 0;
  std::uint32_t index = newest;
  for (std::size_t back = possible == 1 ? 0 : chooser.choose(possible); back != 0;) {
    if (may_find(--index)) --back;
  }
  if (index == newest && entry(location, newest).value == expected) {
    exchange(thread, word, desired, order);
    return true;
  }
  saw(thread, location, index, Order::relaxed);  // as above
  expected = entry(location, index).value;
  return false;
}

void WeakMemory::exchange(unsigned thread, WordAt word, std::uint64_t desired, Order order) {
  const std::size_t location = locate(word);
  saw(thread, location, locations_[location].newest, order);
  append(thread, location, word, desired, order, true);
}

void WeakMemory::fence(unsigned thread) {
  Thread& t = thread_[thread];
  join(t.now, t.acquired);
  t.acquired.clear();
  // Of the words only: two fences in a row do not make what came before the first happen before
  // what comes after the second.
  join(t.now, in_order_, threads_);
  join(in_order_, t.now, threads_);
  t.released = t.now;
  ++t.now[thread];
}

std::uint64_t WeakMemory::futex_load(unsigned thread, WordAt word, Chooser& chooser) {
  futex_resume(thread, word);
  return load(thread, word, Order::relaxed, chooser);  // relaxed: the system call promises no more
}

void WeakMemory::futex_woke(unsigned thread, WordAt word) {
  const std::size_t location = locate(word);
  std::uint32_t& woken = locations_[location].woken;
  woken = std::max(woken, at(thread_[thread].now, threads_ + location));
}

void WeakMemory::futex_resume(unsigned thread, WordAt word) {
  const std::size_t location = locate(word);
  raise(thread_[thread].now, threads_ + location, locations_[location].woken);
}

void WeakMemory::observe_death(unsigned thread, unsigned other) {
  join(thread_[thread].now, thread_[other].now);
}

bool WeakMemory::happened(unsigned thread, std::uint32_t other, std::uint32_t clock) const {
  return clock == 0 || other == thread || thread_[thread].now[other] >= clock;
}

const char* WeakMemory::read_data(unsigned thread, const void* cell) {
  Cell& c = cells_[cell];
  raise(c.reads, thread, thread_[thread].now[thread]);
  return happened(thread, c.writer, c.write) ? nullptr : "read of what another is writing";
}

const char* WeakMemory::write_data(unsigned thread, const void* cell) {
  Cell& c = cells_[cell];
  const bool ordered = happened(thread, c.writer, c.write);
  c.writer = thread;
  c.write = thread_[thread].now[thread];
  if (!ordered) return "write of what another is writing";
  for (std::uint32_t i = 0; i < c.reads.size(); ++i) {
    if (!happened(thread, i, c.reads[i])) return "write of what another is reading";
  }
  c.reads.clear();
  return nullptr;
}

}  // namespace sluice::internal
