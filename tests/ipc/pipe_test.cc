// SPDX-License-Identifier: Apache-2.0
//
// What a Sender and a Receiver promise to their caller: kinds of messages, order, room, names,
// closing. Kills, signals and time are in pipe_behaviour_test.cc.

#include "sluice/ipc/pipe.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/ipc/codec_traits.h"
#include "sluice/ipc/pipe_calls.h"
#include "sluice/ipc/pipe_layout.h"
#include "sluice/ipc/segment.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/tests/support/bodies.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using testing::AllOf;
using testing::HasSubstr;

using Bytes = std::vector<std::byte>;

struct Order {
  static constexpr std::string_view kTypeName = "test.Order";
  std::uint64_t id;
  double price;
  bool operator==(const Order&) const = default;
};

/// Of Order's size and alignment, and not an Order.
struct Trade {
  static constexpr std::string_view kTypeName = "test.Trade";
  std::uint64_t id;
  double price;
};

/// A message whose length and contents follow from its number, so that any mix-up shows.
Bytes numbered(std::uint32_t number, std::size_t longest) {
  std::uint32_t state = number * 2654435761U + 1;
  Bytes message(state % (longest + 1));
  for (std::byte& b : message)
    b = static_cast<std::byte>((state = state * 1664525U + 1013904223U) >> 24);
  return message;
}

/// The code of the Error that `call` throws; none if it throws nothing.
template <class Call>
std::error_code code_of(Call call) {
  try {
    call();
  } catch (const Error& e) {
    return e.code();
  }
  return {};
}

// -------------------------------------------------------------------------------------------------
// What does not compile

template <class End, class... Args>
concept Sends = requires(End end, Args... args) { end.send(args...); };
template <class End, class Arg>
concept Receives = requires(End end, Arg arg) { end.recv(arg); };

static_assert(Sends<Sender, Order> && Sends<Sender, int> && Sends<Sender, std::string> &&
              Sends<Sender, std::string_view> && Sends<Sender, Bytes> && Sends<Sender, char[6]>);
static_assert(Sends<Sender, std::vector<int>>, "through its codec");
static_assert(!Sends<Receiver, int> && !Receives<Sender, int&>, "each end has one direction");
// Sending one of these is refused with a reason, not by a constraint that is not met.
static_assert(!Travels<int*> && !Travels<const void*>, "an address means nothing there");
static_assert(!internal::SentAsValue<std::string_view>, "sent as its characters, not as a value");
static_assert(!internal::SentAsValue<std::span<const std::byte>>);
static_assert(!Travels<std::span<int>>, "a span is an address");
static_assert(!Travels<std::wstring_view>);
static_assert(!Travels<Sender> && !Travels<Receiver>);
static_assert(!Receives<Receiver, std::string_view&>);
static_assert(!std::is_copy_constructible_v<Sender> && !std::is_copy_assignable_v<Receiver>);
static_assert(std::is_nothrow_move_constructible_v<Sender> &&
              std::is_nothrow_move_assignable_v<Receiver>);

// -------------------------------------------------------------------------------------------------
// The same bodies over threads, forked processes, and processes that meet by name

template <class Way>
class PipeBody : public testing::Test {};
TYPED_TEST_SUITE(PipeBody, AllWays, WayNames);

TYPED_TEST(PipeBody, CarriesBytesTextAndValues) {
  TypeParam::run(
      1 << 12,
      [](Sender& tx) {
        EXPECT_EQ(tx.send(Bytes{std::byte{1}, std::byte{0}, std::byte{255}}), Status::ok);
        EXPECT_EQ(tx.send("hello"), Status::ok);
        EXPECT_EQ(tx.send(Order{7, 1.5}), Status::ok);
        EXPECT_EQ(tx.try_send(-3), Status::ok);
      },
      [](Receiver& rx) {
        Bytes bytes(100);
        EXPECT_EQ(rx.recv(bytes), Status::ok);
        EXPECT_EQ(bytes, (Bytes{std::byte{1}, std::byte{0}, std::byte{255}})) << "resized to fit";
        std::string text = "something longer than the message";
        EXPECT_EQ(rx.recv(text), Status::ok);
        EXPECT_EQ(text, "hello");
        EXPECT_EQ(rx.recv<Order>(), (Order{7, 1.5}));
        int number = 0;
        EXPECT_EQ(rx.recv(number), Status::ok);
        EXPECT_EQ(number, -3);
      });
}

TYPED_TEST(PipeBody, DeliversEachMessageOnceAndInOrderOverManyWraps) {
  constexpr std::uint32_t kCount = 20000;
  TypeParam::run(
      1 << 12,
      [](Sender& tx) {
        for (std::uint32_t i = 0; i < kCount; ++i) {
          ASSERT_EQ(tx.send(numbered(i, tx.max_message())), Status::ok);
        }
      },
      [](Receiver& rx) {
        Bytes message;
        for (std::uint32_t i = 0; i < kCount; ++i) {
          ASSERT_EQ(rx.recv(message), Status::ok);
          ASSERT_EQ(message, numbered(i, rx.max_message())) << "message " << i;
        }
        EXPECT_EQ(rx.recv(message), Status::closed);
      });
}

TYPED_TEST(PipeBody, TheTryFormsCarryTheSame) {
  constexpr std::uint32_t kCount = 2000;
  TypeParam::run(
      1 << 12,
      [](Sender& tx) {
        for (std::uint32_t i = 0; i < kCount; ++i) {
          const Bytes message = numbered(i, 300);
          Status status = Status::full;
          while (status == Status::full) status = tx.try_send(message);
          ASSERT_EQ(status, Status::ok);
        }
      },
      [](Receiver& rx) {
        Bytes message;
        for (std::uint32_t i = 0; i < kCount; ++i) {
          Status status = Status::empty;
          while (status == Status::empty) status = rx.try_recv(message);
          ASSERT_EQ(status, Status::ok);
          ASSERT_EQ(message, numbered(i, 300)) << "message " << i;
        }
        Status end = Status::empty;
        while (end == Status::empty) end = rx.try_recv(message);
        EXPECT_EQ(end, Status::closed);
      });
}

TYPED_TEST(PipeBody, TheLongestMessageArrivesWholeAndOneByteMoreIsRefused) {
  TypeParam::run(
      1 << 14,
      [](Sender& tx) {
        Bytes message(tx.max_message(), std::byte{0x5a});
        EXPECT_EQ(tx.send(message), Status::ok);
        EXPECT_EQ(tx.send(message), Status::ok) << "from wherever the ring stands";
        message.emplace_back();
        EXPECT_EQ(tx.send(message), Status::too_large);
        EXPECT_EQ(tx.try_send(message), Status::too_large);
        EXPECT_EQ(tx.send("after"), Status::ok) << "a refusal leaves the pipe as it was";
      },
      [](Receiver& rx) {
        for (int i = 0; i < 2; ++i) {
          Bytes message;
          ASSERT_EQ(rx.recv(message), Status::ok);
          EXPECT_EQ(message, Bytes(rx.max_message(), std::byte{0x5a}));
        }
        std::string text;
        EXPECT_EQ(rx.recv(text), Status::ok);
        EXPECT_EQ(text, "after");
      });
}

TYPED_TEST(PipeBody, TheWholeConsumerIsALoopThatEndsWithTheStream) {
  TypeParam::run(
      1 << 12,
      [](Sender& tx) {
        for (int i = 1; i <= 1000; ++i) ASSERT_EQ(tx.send(i), Status::ok);
      },
      [](Receiver& rx) {
        int sum = 0;
        while (const auto value = rx.recv<int>()) sum += *value;
        EXPECT_EQ(sum, 500500);
        EXPECT_EQ(rx.status(), Status::closed);
        int none = 0;
        EXPECT_EQ(rx.recv(none), Status::closed) << "the end stays";
        EXPECT_EQ(rx.try_recv(none), Status::closed);
        EXPECT_EQ(rx.skip(), Status::closed);
      });
}

TYPED_TEST(PipeBody, StatusIsOkWhileMessagesAreLeft) {
  TypeParam::run(
      1 << 12, [](Sender& tx) { EXPECT_EQ(tx.send(1), Status::ok); },
      [](Receiver& rx) {
        EXPECT_TRUE(rx.poll(Deadline::never()));
        EXPECT_EQ(rx.status(), Status::ok);
        EXPECT_EQ(rx.recv<int>(), 1);
        EXPECT_EQ(rx.recv<int>(), std::nullopt);
        EXPECT_EQ(rx.status(), Status::closed);
      });
}

TYPED_TEST(PipeBody, AValueOfAnotherTypeIsAMismatchAndStays) {
  TypeParam::run(
      1 << 12, [](Sender& tx) { EXPECT_EQ(tx.send(Order{7, 1.5}), Status::ok); },
      [](Receiver& rx) {
        Trade trade = {};
        EXPECT_EQ(rx.recv(trade), Status::mismatch) << "same size, another name";
        std::uint32_t number = 0;
        EXPECT_EQ(rx.recv(number), Status::mismatch) << "another size";
        EXPECT_EQ(code_of([&] { static_cast<void>(rx.recv<Trade>()); }), Status::mismatch);
        EXPECT_EQ(rx.try_recv(trade), Status::mismatch);
        EXPECT_EQ(trade.id, 0U) << "nothing was written";
        EXPECT_EQ(rx.recv<Order>(), (Order{7, 1.5}));
      });
}

TYPED_TEST(PipeBody, BytesAreNotAValueButAValueCanBeReadAsBytes) {
  TypeParam::run(
      1 << 12,
      [](Sender& tx) {
        EXPECT_EQ(tx.send("1234"), Status::ok);
        EXPECT_EQ(tx.send(std::uint32_t{0x04030201}), Status::ok);
      },
      [](Receiver& rx) {
        std::uint32_t number = 0;
        EXPECT_EQ(rx.recv(number), Status::mismatch) << "four bytes, but not sent as a number";
        EXPECT_EQ(rx.skip(), Status::ok);
        Bytes bytes;
        EXPECT_EQ(rx.recv(bytes), Status::ok);
        EXPECT_EQ(bytes, (Bytes{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}}));
      });
}

TYPED_TEST(PipeBody, SkipDropsOneMessage) {
  TypeParam::run(
      1 << 12,
      [](Sender& tx) {
        for (int i = 0; i < 3; ++i) ASSERT_EQ(tx.send(i), Status::ok);
      },
      [](Receiver& rx) {
        EXPECT_EQ(rx.recv<int>(), 0);
        EXPECT_TRUE(rx.poll(Deadline::never()));
        EXPECT_EQ(rx.skip(), Status::ok);
        EXPECT_EQ(rx.recv<int>(), 2);
      });
}

TYPED_TEST(PipeBody, AReceiverThatClosesReleasesABlockedSender) {
  TypeParam::run(
      1 << 12,
      [](Sender& tx) {
        Status status = Status::ok;
        while (status == Status::ok) status = tx.send("message");
        EXPECT_EQ(status, Status::closed);
        EXPECT_EQ(tx.send("another"), Status::closed) << "the end stays";
        EXPECT_EQ(tx.try_send("another"), Status::closed);
        EXPECT_EQ(tx.status(), Status::closed);
      },
      [](Receiver& rx) {
        std::string text;
        EXPECT_EQ(rx.recv(text), Status::ok);
        rx.close();
      });
}

TYPED_TEST(PipeBody, TwoPipesMakeARoundTrip) {
  auto [back_rx, back_tx] = Pipe::create(1 << 12);
  TypeParam::run(
      1 << 12,
      [&](Sender& tx) {
        for (int i = 0; i < 2000; ++i) {
          ASSERT_EQ(tx.send(i), Status::ok);
          ASSERT_EQ(back_rx.template recv<int>(), 2 * i);
        }
      },
      [&](Receiver& rx) {
        while (const auto i = rx.recv<int>()) ASSERT_EQ(back_tx.send(*i * 2), Status::ok);
      });
}

// -------------------------------------------------------------------------------------------------
// Room

TEST(Pipe, HasAtLeastTheCapacityAskedForAndSaysItsLongestMessage) {
  for (const std::size_t asked : {1, 100, 128, 129, 4096, 5000, 1 << 20}) {
    auto [rx, tx] = Pipe::create(asked);
    EXPECT_GE(tx.capacity(), asked);
    EXPECT_EQ(rx.capacity(), tx.capacity());
    EXPECT_EQ(rx.max_message(), tx.max_message());
    EXPECT_EQ(tx.try_send(Bytes(tx.max_message())), Status::ok);
    EXPECT_EQ(rx.skip(), Status::ok);
    EXPECT_EQ(tx.try_send(Bytes(tx.max_message() + 1)), Status::too_large);
  }
}

TEST(Pipe, ACapacityOfZeroOrBeyondTheLargestIsRefused) {
  EXPECT_EQ(code_of([] { static_cast<void>(Pipe::create(0)); }), std::errc::invalid_argument);
  EXPECT_EQ(code_of([] { static_cast<void>(Pipe::create(ByteRing::kMaxCapacity + 1)); }),
            std::errc::invalid_argument);
  EXPECT_EQ(code_of([] { static_cast<void>(Pipe::create(SIZE_MAX)); }),
            std::errc::invalid_argument);
}

TEST(Pipe, TrySendSaysFullAndOneReceiveMakesRoomAgain) {
  auto [rx, tx] = Pipe::create(1 << 10);
  int sent = 0;
  while (tx.try_send(sent) == Status::ok) ++sent;
  EXPECT_GT(sent, 10);
  EXPECT_EQ(tx.try_send(sent), Status::full);
  EXPECT_EQ(rx.recv<int>(), 0);
  EXPECT_EQ(tx.try_send(sent), Status::ok);
  EXPECT_EQ(tx.try_send(sent), Status::full);
  for (int i = 1; i <= sent; ++i) EXPECT_EQ(rx.recv<int>(), i);
  int none = 0;
  EXPECT_EQ(rx.try_recv(none), Status::empty);
}

TEST(Pipe, TryRecvAndSkipOnAnEmptyPipeSayEmpty) {
  auto [rx, tx] = Pipe::create(1 << 10);
  Bytes bytes = {std::byte{1}};
  std::string text = "kept";
  int number = 5;
  EXPECT_EQ(rx.try_recv(bytes), Status::empty);
  EXPECT_EQ(rx.try_recv(text), Status::empty);
  EXPECT_EQ(rx.try_recv(number), Status::empty);
  EXPECT_EQ(rx.skip(), Status::empty);
  EXPECT_EQ(bytes.size(), 1U);
  EXPECT_EQ(text, "kept");
  EXPECT_EQ(number, 5);
}

// -------------------------------------------------------------------------------------------------
// Closing

TEST(Pipe, EveryCallOnAClosedEndSaysClosed) {
  auto [rx, tx] = Pipe::create(1 << 10);
  EXPECT_EQ(tx.send(1), Status::ok);
  EXPECT_EQ(tx.send(2), Status::ok);
  EXPECT_EQ(rx.recv<int>(), 1);
  rx.close();
  tx.close();
  rx.close();
  tx.close();
  EXPECT_TRUE(rx.closed() && tx.closed());
  int number = 0;
  std::array<std::byte, 8> room;
  EXPECT_EQ(rx.recv(number), Status::closed) << "although a message is left";
  EXPECT_EQ(rx.try_recv(number), Status::closed);
  EXPECT_EQ(rx.recv_into(room).status, Status::closed);
  EXPECT_EQ(rx.skip(), Status::closed);
  EXPECT_TRUE(rx.poll()) << "recv would return at once";
  EXPECT_EQ(rx.recv<int>(), std::nullopt);
  EXPECT_EQ(rx.status(), Status::closed);
  EXPECT_EQ(tx.send(1), Status::closed);
  EXPECT_EQ(tx.try_send(1), Status::closed);
  EXPECT_EQ(tx.status(), Status::closed);
}

TEST(Pipe, AnEndThatWasMovedFromIsAsIfClosed) {
  auto [rx, tx] = Pipe::create(1 << 10);
  Receiver other_rx = std::move(rx);
  Sender other_tx = std::move(tx);
  int number = 0;
  EXPECT_TRUE(rx.closed() && tx.closed());
  EXPECT_EQ(rx.recv(number), Status::closed);
  EXPECT_EQ(rx.skip(), Status::closed);
  EXPECT_EQ(tx.send(1), Status::closed);
  EXPECT_EQ(tx.status(), Status::closed);
  EXPECT_EQ(tx.capacity(), 0U);
  EXPECT_EQ(tx.max_message(), 0U);
  EXPECT_EQ(code_of([&] { static_cast<void>(tx.fd()); }), std::errc::bad_file_descriptor);
  rx.close();
  EXPECT_EQ(other_tx.send(5), Status::ok);
  EXPECT_EQ(other_rx.recv<int>(), 5);
}

TEST(Pipe, AMovedEndGoesOnWhereItWas) {
  auto [rx, tx] = Pipe::create(1 << 10);
  EXPECT_EQ(tx.send(1), Status::ok);
  EXPECT_EQ(tx.send(2), Status::ok);
  EXPECT_EQ(rx.recv<int>(), 1);
  Receiver other_rx = std::move(rx);
  Sender other_tx = std::move(tx);
  EXPECT_EQ(other_tx.send(3), Status::ok);
  EXPECT_EQ(other_rx.recv<int>(), 2);
  EXPECT_EQ(other_rx.recv<int>(), 3);
}

TEST(Pipe, MoveAssignmentClosesWhatWasThere) {
  auto [first_rx, first_tx] = Pipe::create(1 << 10);
  auto [second_rx, second_tx] = Pipe::create(1 << 10);
  EXPECT_EQ(first_tx.send(1), Status::ok);
  EXPECT_EQ(second_tx.send(2), Status::ok);
  first_tx = std::move(second_tx);
  EXPECT_EQ(first_rx.recv<int>(), 1);
  EXPECT_EQ(first_rx.recv<int>(), std::nullopt);
  EXPECT_EQ(first_tx.send(3), Status::ok);
  EXPECT_EQ(second_rx.recv<int>(), 2);
  EXPECT_EQ(second_rx.recv<int>(), 3);
  Sender& same = first_tx;
  first_tx = std::move(same);
  EXPECT_EQ(first_tx.send(4), Status::ok) << "moved to itself";
}

TEST(Pipe, AnEndThatNobodyUsedEndsTheStreamWhenItIsClosed) {
  auto [rx, tx] = Pipe::create(1 << 10);
  EXPECT_FALSE(rx.poll());
  tx.close();
  int none = 0;
  EXPECT_EQ(rx.recv(none), Status::closed);
}

TEST(Pipe, SendToAReceiverThatNobodyUsedAndThatWasClosedSaysClosedAtTheLatestWhenFull) {
  auto [rx, tx] = Pipe::create(1 << 10);
  rx.close();
  Status status = Status::ok;
  for (int i = 0; i < 1000 && status == Status::ok; ++i) status = tx.send(i);
  EXPECT_EQ(status, Status::closed);
}

TEST(Pipe, ABrokenPromiseOfTheOptionalFormIsAnError) {
  auto [rx, tx] = Pipe::create(1 << 10);
  EXPECT_EQ(tx.send("text"), Status::ok);
  EXPECT_EQ(code_of([&, r = &rx] { static_cast<void>(r->recv<Order>()); }), Status::mismatch);
}

// -------------------------------------------------------------------------------------------------
// Names and descriptors

TEST(NamedPipe, OpenOfANameThatIsNotThereSaysSo) {
  EXPECT_EQ(code_of([] { static_cast<void>(Sender::open("nobody-made-this")); }),
            std::errc::no_such_file_or_directory);
}

TEST(NamedPipe, ASecondCreatorOfALiveNameIsRefused) {
  Receiver rx = Receiver::create("taken", 1 << 10);
  EXPECT_EQ(code_of([] { static_cast<void>(Receiver::create("taken", 1 << 10)); }),
            std::errc::file_exists);
  EXPECT_EQ(code_of([] { static_cast<void>(Sender::create("taken", 1 << 10)); }),
            std::errc::file_exists);
}

TEST(NamedPipe, ASecondLivingUserOfAnEndIsRefused) {
  Receiver rx = Receiver::create("one-reader", 1 << 10);
  EXPECT_EQ(code_of([] { static_cast<void>(Receiver::open("one-reader")); }), Status::busy);
  EXPECT_EQ(code_of([] { static_cast<void>(Receiver::open_or_create("one-reader", 1 << 10)); }),
            Status::busy);
  ChildParty other([] {
    EXPECT_EQ(code_of([] { static_cast<void>(Receiver::open("one-reader")); }), Status::busy);
  });
  other.finish();
  Sender tx = Sender::open("one-reader");
  EXPECT_EQ(tx.send(1), Status::ok);
  EXPECT_EQ(rx.recv<int>(), 1) << "who had it keeps it";
}

TEST(NamedPipe, OpenOrCreateMakesOneAndThenFindsIt) {
  Receiver rx = Receiver::open_or_create("either", 1 << 12);
  Sender tx = Sender::open_or_create("either", 1 << 20);
  EXPECT_EQ(tx.capacity(), rx.capacity()) << "the one that was there";
  EXPECT_EQ(tx.send(1), Status::ok);
  EXPECT_EQ(rx.recv<int>(), 1);
}

TEST(NamedPipe, ANameThatNoFileMayHaveIsRefused) {
  for (const char* bad : {"", "a/b", "..", ".hidden", "a b", "\xc3\xa4"}) {
    EXPECT_EQ(code_of([&] { static_cast<void>(Receiver::create(bad, 1 << 10)); }),
              std::errc::invalid_argument)
        << '"' << bad << '"';
  }
}

TEST(NamedPipe, ClosedEndsCanBeOpenedAgainWhileTheNameLasts) {
  Receiver rx = Receiver::create("again", 1 << 10);
  {
    Sender first = Sender::open("again");
    EXPECT_EQ(first.send(1), Status::ok);
  }
  EXPECT_EQ(rx.recv<int>(), 1);
  EXPECT_EQ(rx.recv<int>(), std::nullopt);
  Sender second = Sender::open("again");
  EXPECT_EQ(rx.status(), Status::ok);
  EXPECT_EQ(second.send(2), Status::ok);
  EXPECT_EQ(rx.recv<int>(), 2);
}

TEST(NamedPipe, UntilRemovedKeepsTheMessagesForALaterUser) {
  {
    Sender tx = Sender::create("kept", 1 << 10, Lifetime::until_removed);
    EXPECT_EQ(tx.send(1), Status::ok);
    EXPECT_EQ(tx.send(2), Status::ok);
  }
  {
    Receiver first = Receiver::open("kept");
    EXPECT_EQ(first.recv<int>(), 1);
  }
  {
    Receiver second = Receiver::open("kept");
    EXPECT_EQ(second.recv<int>(), 2);
    EXPECT_EQ(second.recv<int>(), std::nullopt);
  }
  EXPECT_TRUE(Segment::remove("kept"));
}

TEST(DescriptorPipe, AProcessThatInheritedOnlyADescriptorAttachesThroughIt) {
  auto [rx, tx] = Pipe::create(1 << 12);
  const UniqueFd fd = rx.fd();
  ChildParty child([&] {
    Sender attached = Sender::from_fd(UniqueFd(dup(fd.get())));
    EXPECT_EQ(attached.send(42), Status::ok);
  });
  EXPECT_EQ(rx.recv<int>(), 42);
  EXPECT_EQ(rx.recv<int>(), std::nullopt);
  child.finish();
}

TEST(DescriptorPipe, TheDescriptorIsClosedOnExec) {
  auto [rx, tx] = Pipe::create(1 << 12);
  const UniqueFd fd = tx.fd();
  EXPECT_EQ(fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST(DescriptorPipe, AnEndInUseIsBusyForWhoComesThroughADescriptor) {
  auto [rx, tx] = Pipe::create(1 << 12);
  EXPECT_FALSE(rx.poll());
  EXPECT_EQ(code_of([&, r = &rx] { static_cast<void>(Receiver::from_fd(r->fd())); }), Status::busy);
}

// -------------------------------------------------------------------------------------------------
// For people

TEST(Pipe, PrintsItsSideStateAndName) {
  Receiver rx = Receiver::create("printed", 1 << 12);
  std::ostringstream text;
  text << rx;
  EXPECT_THAT(text.str(), AllOf(HasSubstr("receiver"), HasSubstr("\"printed\""), HasSubstr("open"),
                                HasSubstr("4096 bytes")));
  EXPECT_EQ(text.str().find('\n'), std::string::npos) << "one line";
  rx.close();
  std::ostringstream closed;
  closed << rx;
  EXPECT_THAT(closed.str(), HasSubstr("closed"));
}

TEST(Pipe, PrintsAnAnonymousAndAMovedFromEnd) {
  auto [rx, tx] = Pipe::create(1 << 12);
  std::ostringstream text;
  text << tx;
  EXPECT_THAT(text.str(), AllOf(HasSubstr("sender"), HasSubstr("anonymous"), HasSubstr("offered")));
  const Sender other = std::move(tx);
  std::ostringstream empty;
  empty << tx;
  EXPECT_THAT(empty.str(), HasSubstr("no pipe"));
}

}  // namespace
}  // namespace sluice::tests
