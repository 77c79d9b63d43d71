// SPDX-License-Identifier: Apache-2.0
//
// What lies in the padding of a value, which may be a secret of its process, stays there, whichever
// way the value goes to shared memory. Looked for in two ways: padding that is filled with a
// pattern, which must not be found; and padding that was never written, which padding_valgrind_test
// tells from written bytes where they are handed to write(2).

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "sluice/ipc/array.h"
#include "sluice/ipc/connection.h"
#include "sluice/ipc/pipe.h"
#include "sluice/ipc/shared.h"
#include "sluice/ipc/value.h"
#include "sluice/lockfree/latest.h"
#include "sluice/lockfree/spsc_ring.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::tests {
namespace {

constexpr unsigned char kSecret = 0xEE;

/// More than a word, with holes of 7 and of 4 bytes.
struct Padded {
  static constexpr std::string_view kTypeName = "test.Padded";
  std::int8_t a;
  std::int64_t b;
  std::int32_t c;
  bool operator==(const Padded&) const = default;
};
/// A word, with a hole of 3 bytes.
struct Small {
  static constexpr std::string_view kTypeName = "test.Small";
  std::int8_t a;
  std::int32_t b;
  bool operator==(const Small&) const = default;
};
static_assert(sizeof(Padded) == 24 && sizeof(Small) == 8);

void set(Padded& value) {
  value.a = 1;
  value.b = 2;
  value.c = 3;
}
void set(Small& value) {
  value.a = 1;
  value.b = 2;
}
void set(long double& value) { value = 1.5L; }

enum class Padding : std::uint8_t { secret, unwritten };

/// `count` values in memory whose padding is as `padding` says.
template <class T>
class Values {
 public:
  explicit Values(Padding padding, std::size_t count = 1)
      : memory_(static_cast<T*>(::operator new(count * sizeof(T)))), count_(count) {
    if (padding == Padding::secret) {
      std::memset(static_cast<void*>(memory_.get()), kSecret, count * sizeof(T));
    }
    for (T& value : all()) set(value);
  }

  [[nodiscard]] std::span<T> all() const { return {memory_.get(), count_}; }
  [[nodiscard]] const T& one() const { return *memory_; }

 private:
  struct Delete {
    void operator()(T* memory) const { ::operator delete(memory); }
  };
  std::unique_ptr<T, Delete> memory_;
  std::size_t count_;
};

/// The pattern is not in these bytes; and all of them were written, if somebody watches.
void expect_no_secret(std::span<const std::byte> shared) {
  const std::array<std::byte, 3> secret = {std::byte{kSecret}, std::byte{kSecret},
                                           std::byte{kSecret}};
  const auto found = std::search(shared.begin(), shared.end(), secret.begin(), secret.end());
  EXPECT_EQ(found, shared.end()) << "at byte " << found - shared.begin();
  // Of a file, since a write to /dev/null reads nothing.
  const UniqueFd file(memfd_create("shared", MFD_CLOEXEC));
  EXPECT_EQ(write(file.get(), shared.data(), shared.size()), static_cast<ssize_t>(shared.size()));
}

template <class T>
std::span<const std::byte> bytes_of(const T& object) {
  return std::as_bytes(std::span(&object, 1));
}

/// A page that others could see.
class Page {
 public:
  Page()
      : memory_(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    EXPECT_NE(memory_, MAP_FAILED);
  }
  ~Page() { munmap(memory_, kSize); }
  Page(const Page&) = delete;
  Page& operator=(const Page&) = delete;

  [[nodiscard]] std::span<std::byte> bytes() const {
    return {static_cast<std::byte*>(memory_), kSize};
  }

 private:
  static constexpr std::size_t kSize = 4096;
  void* memory_;
};

class PaddingStays : public testing::TestWithParam<Padding> {};

TEST_P(PaddingStays, OfAnSpscRing) {
  using Ring = SpscRing<Padded>;
  const Page page;
  Ring::format(page.bytes(), 8);
  Ring::Producer producer(page.bytes());
  EXPECT_EQ(producer.try_push(Values<Padded>(GetParam()).one()), Status::ok);
  EXPECT_EQ(producer.try_push_n(Values<Padded>(GetParam(), 3).all()), 3U);
  expect_no_secret(page.bytes());
}

template <class T>
void keeps_to_itself_in_latest(Padding padding) {
  const Values<T> values(padding);
  const Page page;
  auto& latest = *::new (page.bytes().data()) Latest<T>(values.one());
  expect_no_secret(page.bytes());
  latest.store(values.one());
  T expected = latest.exchange(values.one());
  EXPECT_TRUE(latest.compare_exchange(expected, values.one()));
  latest.update([&](T& value) { value = values.one(); });
  expect_no_secret(page.bytes());
}

TEST_P(PaddingStays, OfALatest) {
  keeps_to_itself_in_latest<Small>(GetParam());
  keeps_to_itself_in_latest<Padded>(GetParam());
}

TEST_P(PaddingStays, OfAnArray) {
  const Values<Padded> values(GetParam(), 5);
  const Array<Padded> made(values.all());
  expect_no_secret(std::as_bytes(made.span()));
  const RawArray<Padded> assigned(5);
  assigned.assign(values.all());
  expect_no_secret(std::as_bytes(assigned.span()));
  const Array<Padded> filled(5);
  filled.fill(values.one());
  expect_no_secret(std::as_bytes(filled.span()));
}

TEST_P(PaddingStays, OfAnArrayInAFile) {
  const std::string path = Domain::current_path() + "/padded";
  const auto array = Array<Padded>::map_file(path, Values<Padded>(GetParam(), 5).all());
  expect_no_secret(std::as_bytes(array.span()));
  std::filesystem::remove(path);
}

TEST_P(PaddingStays, OfAShared) {
  const Shared<Padded> shared(Values<Padded>(GetParam()).one());
  expect_no_secret(bytes_of(*shared));
}

/// What `send` puts into the ring of an end that sends.
template <class End, class Send>
void expect_no_secret_sent(End& end, Send send) {
  const std::byte* begin = nullptr;
  const std::byte* behind = nullptr;
  if (auto room = end.reserve(1)) begin = room.bytes().data();
  send();
  if (auto room = end.reserve(1)) behind = room.bytes().data();
  ASSERT_LT(begin, behind);
  // But for the header of what was not sent.
  expect_no_secret(std::span(begin, behind - 8));
}

template <class End>
void sends_no_secret(End& end, Padding padding) {
  const Values<Padded> values(padding, 20);
  expect_no_secret_sent(end, [&] {
    EXPECT_EQ(end.send(values.one()), Status::ok);
    EXPECT_EQ(end.try_send(Values<Small>(padding).one()), Status::ok);
    EXPECT_EQ(end.send(Values<long double>(padding).one()), Status::ok);
    EXPECT_EQ(end.send(std::vector<Padded>(values.all().begin(), values.all().end())), Status::ok);
    EXPECT_EQ(end.send(std::tuple(values.one(), 5)), Status::ok);
    EXPECT_EQ(end.send_each(values.all()).count, 20U);
  });
}

TEST_P(PaddingStays, OfWhatAPipeSends) {
  Pipe pipe = Pipe::create(1 << 14);
  sends_no_secret(pipe.sender, GetParam());
}

TEST_P(PaddingStays, OfWhatAConnectionSends) {
  auto [a, b] = Connection::pair(1 << 14);
  sends_no_secret(a, GetParam());
  auto [c, d] = Connection::pair({.capacity = 4096, .max_message = 1 << 20});
  const Values<Padded> many(GetParam(), 120);
  expect_no_secret_sent(c, [&] {
    EXPECT_EQ(c.send(std::vector<Padded>(many.all().begin(), many.all().end()), Deadline::now()),
              Status::ok)
        << "in parts";
  });
}

TEST_P(PaddingStays, OfAValue) {
  const Values<Padded> values(GetParam());
  auto value = Value<Padded>::create("padded", values.one());
  value.store(values.one());
  // Of the file: valgrind does not know which of its bytes were written, the pattern is found.
  std::vector<std::byte> file(8192);
  const UniqueFd fd = value.fd();
  ASSERT_EQ(pread(fd.get(), file.data(), file.size(), 0), static_cast<ssize_t>(file.size()));
  expect_no_secret(file);
}

INSTANTIATE_TEST_SUITE_P(Both, PaddingStays, testing::Values(Padding::secret, Padding::unwritten),
                         [](const auto& info) {
                           return info.param == Padding::secret ? "Secret" : "Unwritten";
                         });

}  // namespace
}  // namespace sluice::tests
