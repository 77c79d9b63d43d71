// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/stamp.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <random>
#include <span>
#include <sstream>
#include <string>

#include "sluice/ipc/fingerprint.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/tests/support/calls.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using tests::error_of;

constexpr std::size_t kSize = 2 * kObjectOffset;
constexpr SegmentKind kKind = {.name = "probe", .version = 3, .fingerprint = 0xabc};

/// With a checksum that fits again after a change.
Stamp resealed(Stamp stamp) {
  const auto bytes = std::as_bytes(std::span(&stamp, 1));
  stamp.checksum = Fnv1a().add(bytes.first(offsetof(Stamp, checksum))).value();
  return stamp;
}

UniqueFd file_with(const Stamp& stamp, std::size_t size) {
  UniqueFd fd(memfd_create("stamped", MFD_CLOEXEC));
  EXPECT_EQ(pwrite(fd.get(), &stamp, sizeof stamp, 0), static_cast<ssize_t>(sizeof stamp));
  EXPECT_EQ(ftruncate(fd.get(), static_cast<off_t>(size)), 0);
  return fd;
}

TEST(Stamp, SaysWhatItWasMadeFrom) {
  const std::time_t before = std::time(nullptr);
  const Stamp stamp = make_stamp(kKind, Lifetime::until_removed, kSize);
  EXPECT_EQ(stamp.kind_name(), "probe");
  EXPECT_EQ(stamp.kind_version, 3U);
  EXPECT_EQ(stamp.fingerprint, 0xabcU);
  EXPECT_EQ(stamp.total_size, kSize);
  EXPECT_EQ(stamp.lifetime(), Lifetime::until_removed);
  EXPECT_EQ(stamp.incarnation, Domain::current().incarnation());
  EXPECT_EQ(stamp.creator_tag, participant::self());
  EXPECT_EQ(stamp.creator_pid, getpid());
  EXPECT_GE(stamp.made_at, before);
  EXPECT_THAT(stamp_fault(stamp, kSize), IsEmpty());
  EXPECT_EQ(make_stamp(kKind, Lifetime::while_used, kSize).lifetime(), Lifetime::while_used);
}

TEST(Stamp, LiesWhereTheFormatSays) {
  // Another program, or a later version, finds these numbers at these places for ever.
  EXPECT_EQ(offsetof(Stamp, magic), 0U);
  EXPECT_EQ(offsetof(Stamp, byte_order), 8U);
  EXPECT_EQ(offsetof(Stamp, stamp_version), 12U);
  EXPECT_EQ(offsetof(Stamp, kind), 16U);
  EXPECT_EQ(offsetof(Stamp, kind_version), 32U);
  EXPECT_EQ(offsetof(Stamp, flags), 36U);
  EXPECT_EQ(offsetof(Stamp, fingerprint), 40U);
  EXPECT_EQ(offsetof(Stamp, total_size), 48U);
  EXPECT_EQ(offsetof(Stamp, incarnation), 56U);
  EXPECT_EQ(offsetof(Stamp, creator_tag), 64U);
  EXPECT_EQ(offsetof(Stamp, creator_pid), 68U);
  EXPECT_EQ(offsetof(Stamp, made_at), 72U);
  EXPECT_EQ(offsetof(Stamp, checksum), 80U);
  const Stamp stamp = make_stamp(kKind, Lifetime::while_used, kSize);
  EXPECT_EQ(std::memcmp(&stamp, "sluice1", 7), 0) << "the magic number can be read in a dump";
}

TEST(Stamp, NoticesEachFlippedBit) {
  const Stamp stamp = make_stamp(kKind, Lifetime::while_used, kSize);
  for (std::size_t bit = 0; bit < 8 * sizeof stamp; ++bit) {
    std::array<std::byte, sizeof stamp> bytes = {};
    std::memcpy(bytes.data(), &stamp, sizeof stamp);
    bytes[bit / 8] ^= std::byte{1} << bit % 8;
    Stamp damaged = {};
    std::memcpy(&damaged, bytes.data(), sizeof damaged);
    EXPECT_FALSE(stamp_fault(damaged, kSize).empty()) << "bit " << bit;
  }
}

TEST(Stamp, NamesEachFault) {
  const Stamp good = make_stamp(kKind, Lifetime::while_used, kSize);
  Stamp stamp = good;
  stamp.magic = 0;
  EXPECT_THAT(stamp_fault(resealed(stamp), kSize), HasSubstr("not a sluice segment"));
  stamp = good;
  stamp.byte_order = 0x04030201;
  EXPECT_THAT(stamp_fault(resealed(stamp), kSize), HasSubstr("byte order 0x4030201"));
  stamp = good;
  stamp.stamp_version = 77;
  EXPECT_THAT(stamp_fault(resealed(stamp), kSize),
              AllOf(HasSubstr("version 77"), HasSubstr("instead of 1")));
  stamp = good;
  stamp.checksum ^= 1;
  EXPECT_THAT(stamp_fault(stamp, kSize), HasSubstr("checksum"));
  EXPECT_THAT(stamp_fault(good, kSize - 1), AllOf(HasSubstr("8192"), HasSubstr("8191")));
  EXPECT_THAT(stamp_fault(good, kSize + 1), HasSubstr("8193"));
  stamp = good;
  stamp.total_size = 100;
  EXPECT_THAT(stamp_fault(resealed(stamp), 100), HasSubstr("100"))
      << "no room for the stamp itself";
}

TEST(Stamp, RandomBytesAreNoStamp) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 10'000; ++round) {
    std::array<std::uint64_t, sizeof(Stamp) / 8> words = {};
    for (std::uint64_t& word : words) word = random();
    Stamp stamp = {};
    std::memcpy(&stamp, words.data(), sizeof stamp);
    EXPECT_FALSE(stamp_fault(stamp, kSize).empty());
  }
}

TEST(Stamp, KindNamesAreShownPrintable) {
  Stamp stamp = make_stamp({.name = "0123456789abcdefgh", .version = 1, .fingerprint = 0},
                           Lifetime::while_used, kSize);
  EXPECT_EQ(stamp.kind_name(), "0123456789abcde") << "cut to what fits";
  stamp.kind.fill('\x1b');  // no terminator, and what would be an order to a terminal
  EXPECT_EQ(stamp.kind_name(), std::string(16, '?'));
  stamp.kind.fill('\0');
  EXPECT_EQ(stamp.kind_name(), "");
}

TEST(Stamp, PrintsItself) {
  std::ostringstream out;
  out << make_stamp(kKind, Lifetime::until_removed, kSize);
  EXPECT_THAT(out.str(),
              AllOf(HasSubstr("probe version 3"), HasSubstr("8192 bytes"),
                    HasSubstr("pid " + std::to_string(getpid())), HasSubstr("until removed")));
}

TEST(ReadStamp, ReturnsWhatIsThere) {
  const Stamp stamp = make_stamp(kKind, Lifetime::while_used, kSize);
  const Stamp read = read_stamp(file_with(stamp, kSize).get(), "x");
  EXPECT_EQ(std::memcmp(&read, &stamp, sizeof stamp), 0);
}

TEST(ReadStamp, RefusesWhatIsTooShort) {
  const Stamp stamp = make_stamp(kKind, Lifetime::while_used, kSize);
  for (const std::size_t size : {0U, 1U, 87U, 88U, 4095U}) {
    const Error error =
        error_of([&] { read_stamp(file_with(stamp, size).get(), "pipe \"short\""); });
    EXPECT_EQ(error.code(), Status::corrupt);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("pipe \"short\""), HasSubstr(std::to_string(size) + " bytes")));
  }
}

TEST(ReadStamp, RefusesAnotherSizeThanTheStamps) {
  const Stamp stamp = make_stamp(kKind, Lifetime::while_used, kSize);
  for (const std::size_t size : {kObjectOffset, kSize - 1, kSize + 1, 2 * kSize}) {
    const Error error = error_of([&] { read_stamp(file_with(stamp, size).get(), "x"); });
    EXPECT_EQ(error.code(), Status::corrupt);
    EXPECT_THAT(error.text().found, HasSubstr(std::to_string(size)));
  }
}

TEST(ReadStamp, RefusesWhatIsNoFile) {
  EXPECT_EQ(error_of([] { read_stamp(-1, "x"); }).code(), std::errc::bad_file_descriptor);
  const UniqueFd directory(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_THROW(read_stamp(directory.get(), "x"), Error);
  const UniqueFd device(open("/dev/zero", O_RDONLY | O_CLOEXEC));
  EXPECT_THROW(read_stamp(device.get(), "x"), Error);
}

TEST(CheckStamp, AcceptsWhatWasAskedFor) {
  EXPECT_NO_THROW(check_stamp(make_stamp(kKind, Lifetime::while_used, kSize), kKind, "x"));
}

TEST(CheckStamp, NamesExpectedAndFound) {
  const Stamp stamp = make_stamp(kKind, Lifetime::while_used, kSize);
  const std::array<SegmentKind, 3> others = {{
      {.name = "other", .version = 3, .fingerprint = 0xabc},
      {.name = "probe", .version = 4, .fingerprint = 0xabc},
      {.name = "probe", .version = 3, .fingerprint = 0xabd},
  }};
  for (const SegmentKind& other : others) {
    const Error error = error_of([&] { check_stamp(stamp, other, "\"it\""); });
    EXPECT_EQ(error.code(), Status::mismatch);
    EXPECT_THAT(error.text().tried, HasSubstr("\"it\""));
    EXPECT_THAT(error.text().expected, AllOf(HasSubstr(std::string(other.name)),
                                             HasSubstr(std::to_string(other.version))));
    EXPECT_THAT(error.text().found, AllOf(HasSubstr("probe"), HasSubstr("3"), HasSubstr("0xabc")));
  }
}

TEST(CheckStamp, RefusesAnotherRegistry) {
  Stamp stamp = make_stamp(kKind, Lifetime::while_used, kSize);
  stamp.incarnation ^= 1;
  const Error error = error_of([&] { check_stamp(resealed(stamp), kKind, "x"); });
  EXPECT_EQ(error.code(), Status::foreign_registry);
  EXPECT_THAT(error.text().hint, HasSubstr("SLUICE_DOMAIN"));
}

}  // namespace
}  // namespace sluice
