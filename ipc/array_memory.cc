// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/array_memory.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>

#include "sluice/sync/error.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {
namespace {

/// Behind the lock's line, so that who waits for the lock does not disturb its owner.
std::size_t offset_of_elements(const ArrayShape& shape) {
  return std::max(kNoSharing, shape.alignment);
}

std::string text_of(const ArrayShape& shape, std::string_view name) {
  std::string text = std::string(shape.kind.name) + " " + std::string(shape.kind.type);
  return name.empty() ? text : text + " \"" + std::string(name) + "\"";
}

std::size_t bytes_of(const ArrayShape& shape, std::size_t count, std::string_view name) {
  constexpr std::size_t kMost = std::numeric_limits<std::int64_t>::max() / 2;
  const std::size_t most = (kMost - offset_of_elements(shape)) / shape.element_size;
  if (count <= most) return offset_of_elements(shape) + count * shape.element_size;
  throw Error::from_errno(EFBIG, {.tried = "create " + text_of(shape, name),
                                  .expected = "at most " + std::to_string(most) + " elements",
                                  .found = std::to_string(count)});
}

Segment::Format format(const ArrayShape& shape, std::size_t count, const ArrayMemory::Fill& fill) {
  return [shape, count, fill](std::span<std::byte> object) {
    const std::size_t offset = offset_of_elements(shape);
    auto* const header = ::new (object.data()) ArrayHeader;
    header->count = count;
    header->element_size = static_cast<std::uint32_t>(shape.element_size);
    header->elements_offset = static_cast<std::uint32_t>(offset);
    if (fill) fill(object.subspan(offset, count * shape.element_size));
  };
}

/// Nobody uses the array, and its lock's owner is of a registry that is gone.
void adopt(std::span<std::byte> object) {
  if (auto* const header = attach_object<ArrayHeader>(object)) header->lock.adopt();
}

[[noreturn]] void refuse_header(const ArrayShape& shape, const std::string& name,
                                std::uint64_t count, std::uint64_t size, std::uint64_t offset,
                                std::size_t bytes) {
  throw Error(Status::corrupt,
              {.tried = "attach to " + text_of(shape, name),
               .expected = "elements of " + std::to_string(shape.element_size) + " bytes from " +
                           std::to_string(offset_of_elements(shape)) + " on, and no more than fit",
               .found = std::to_string(count) + " of " + std::to_string(size) + " bytes from " +
                        std::to_string(offset) + " on, in " + std::to_string(bytes) + " bytes",
               .hint = "remove it if nobody uses it"});
}

}  // namespace

ArrayMemory::ArrayMemory(Memory memory, const ArrayShape& shape) : memory_(std::move(memory)) {
  const std::span<std::byte> object =
      std::visit([](const auto& where) { return where.object(); }, memory_);
  auto* const header = attach_object<ArrayHeader>(object);
  if (header == nullptr) refuse_header(shape, name(), 0, 0, 0, object.size());
  const std::uint64_t count = header->count;
  const std::uint32_t size = header->element_size;
  const std::uint32_t offset = header->elements_offset;
  const bool fits = size == shape.element_size && offset == offset_of_elements(shape) &&
                    offset <= object.size() && count <= (object.size() - offset) / size;
  if (!fits) refuse_header(shape, name(), count, size, offset, object.size());
  header_ = header;
  count_ = count;
  elements_ = object.subspan(offset, count * size);
}

ArrayMemory&& ArrayMemory::of_length(std::size_t count, const ArrayShape& shape) && {
  if (count_ == count) return std::move(*this);
  throw Error(Status::mismatch, {.tried = "attach to " + text_of(shape, name()),
                                 .expected = std::to_string(count) + " elements",
                                 .found = std::to_string(count_),
                                 .hint = "open it as it is, or remove it"});
}

ArrayMemory ArrayMemory::create_anonymous(const ArrayShape& shape, std::size_t count,
                                          const SegmentOptions& options, const Fill& fill) {
  return {Segment::create_anonymous(shape.kind, bytes_of(shape, count, ""), options,
                                    format(shape, count, fill)),
          shape};
}

ArrayMemory ArrayMemory::create(std::string_view name, const ArrayShape& shape, std::size_t count,
                                const SegmentOptions& options, const Fill& fill) {
  return {Segment::create(name, shape.kind, bytes_of(shape, count, name), options,
                          format(shape, count, fill)),
          shape};
}

ArrayMemory ArrayMemory::open(std::string_view name, const ArrayShape& shape,
                              const SegmentOptions& options) {
  return {Segment::open(name, shape.kind, options), shape};
}

ArrayMemory ArrayMemory::open_or_create(std::string_view name, const ArrayShape& shape,
                                        std::size_t count, const SegmentOptions& options,
                                        const Fill& fill) {
  return ArrayMemory(Segment::open_or_create(name, shape.kind, bytes_of(shape, count, name),
                                             options, format(shape, count, fill)),
                     shape)
      .of_length(count, shape);
}

ArrayMemory ArrayMemory::from_fd(UniqueFd fd, const ArrayShape& shape,
                                 const SegmentOptions& options) {
  return {Segment::from_fd(std::move(fd), shape.kind, options), shape};
}

ArrayMemory ArrayMemory::map_file(const std::string& path, const ArrayShape& shape,
                                  std::size_t count, const SegmentOptions& options,
                                  const Fill& fill) {
  return ArrayMemory(MappedFile::open_or_create(path, shape.kind, bytes_of(shape, count, path),
                                                options, format(shape, count, fill), adopt),
                     shape)
      .of_length(count, shape);
}

ArrayMemory ArrayMemory::open_file(const std::string& path, const ArrayShape& shape,
                                   const SegmentOptions& options) {
  return {MappedFile::open(path, shape.kind, options, adopt), shape};
}

bool ArrayMemory::created() const noexcept {
  return std::visit([](const auto& where) { return where.created(); }, memory_);
}

const std::string& ArrayMemory::name() const noexcept {
  const auto* const file = std::get_if<MappedFile>(&memory_);
  return file != nullptr ? file->path() : std::get_if<Segment>(&memory_)->name();
}

const SegmentReport& ArrayMemory::report() const noexcept {
  const auto* const file = std::get_if<MappedFile>(&memory_);
  return file != nullptr ? file->report() : std::get_if<Segment>(&memory_)->report();
}

UniqueFd ArrayMemory::fd() const {
  if (const auto* const segment = std::get_if<Segment>(&memory_)) return segment->fd();
  throw Error::from_errno(EOPNOTSUPP,
                          {.tried = "get a descriptor of the array in \"" + name() + "\"",
                           .hint = "send the path: open_file() takes it"});
}

void ArrayMemory::flush() const {
  if (const auto* const file = std::get_if<MappedFile>(&memory_)) file->flush();
}

void refuse_index(std::size_t index, std::size_t size) {
  throw std::out_of_range("index " + std::to_string(index) + " of an array of " +
                          std::to_string(size) + " elements");
}

void refuse_slice(std::size_t first, std::size_t last, std::size_t size) {
  throw std::out_of_range("slice [" + std::to_string(first) + ", " + std::to_string(last) +
                          ") of an array of " + std::to_string(size) + " elements");
}

void refuse_length(std::size_t expected, std::size_t found) {
  throw std::length_error("an array's length is fixed: expected " + std::to_string(expected) +
                          " values, found " + std::to_string(found));
}

}  // namespace sluice::internal
