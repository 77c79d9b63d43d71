// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/task_error.h"

#include <cxxabi.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <new>
#include <optional>
#include <string_view>
#include <system_error>
#include <tuple>
#include <typeinfo>
#include <utility>

#include "sluice/ipc/codec.h"
#include "sluice/pool/task_trace.h"
#include "sluice/pool/type_name.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"

namespace sluice {

WorkerDied::WorkerDied(pid_t pid, int exit_code, unsigned attempts, const std::string& task)
    : std::runtime_error(
          "the worker with pid " + std::to_string(pid) +
          (exit_code < 0 ? std::string(" was killed by signal ") + std::to_string(-exit_code) +
                               " (" + strsignal(-exit_code) + ")"
                         : " ended with exit code " + std::to_string(exit_code)) +
          " while it ran " + task +
          (attempts > 1 ? ", the last of " + std::to_string(attempts) + " attempts" : "")),
      pid_(pid),
      exit_code_(exit_code),
      attempts_(attempts) {}

namespace internal {
namespace {

/// An exception on its way.
struct Travelling {
  std::uint8_t kind = 0;  ///< 1 + its place in kKinds; 0 for any other
  std::string type;       ///< mangled
  std::string text;
  std::int32_t code = 0;
  std::string category;
  std::string worker;
  std::array<std::string, 4> parts;  ///< of Error's text
  std::string trace;

  auto sluice_members() { return std::tie(kind, type, text, code, category, worker, parts, trace); }
};

struct Kind {
  const std::type_info& type;
  /// Throws one with this text, and with the exception that is being handled nested in it.
  void (*throw_it)(const Travelling& from);
};

template <class E>
void throw_with_text(const Travelling& from) {
  std::throw_with_nested(E(from.text));
}

/// With a text where its class has no room for one.
template <class E>
class Told : public E {
 public:
  explicit Told(std::string text) : text_(std::move(text)) {}
  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

std::error_code error_code_of(const Travelling& from) {
  if (from.category == std::system_category().name()) return {from.code, std::system_category()};
  if (from.category == std::generic_category().name()) return {from.code, std::generic_category()};
  const std::error_category& own = make_error_code(Status::ok).category();
  if (from.category == own.name()) return {from.code, own};
  return {from.code, std::generic_category()};
}

class ToldSystemError : public std::system_error {
 public:
  ToldSystemError(std::error_code code, std::string text)
      : std::system_error(code), text_(std::move(text)) {}
  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

void throw_system_error(const Travelling& from) {
  std::throw_with_nested(ToldSystemError(error_code_of(from), from.text));
}

void throw_own_error(const Travelling& from) {
  const auto& [tried, expected, found, hint] = from.parts;
  std::throw_with_nested(Error(
      error_code_of(from), {.tried = tried, .expected = expected, .found = found, .hint = hint}));
}

const std::array kKinds = {
    Kind{typeid(std::runtime_error), throw_with_text<std::runtime_error>},
    Kind{typeid(std::logic_error), throw_with_text<std::logic_error>},
    Kind{typeid(std::invalid_argument), throw_with_text<std::invalid_argument>},
    Kind{typeid(std::domain_error), throw_with_text<std::domain_error>},
    Kind{typeid(std::length_error), throw_with_text<std::length_error>},
    Kind{typeid(std::out_of_range), throw_with_text<std::out_of_range>},
    Kind{typeid(std::range_error), throw_with_text<std::range_error>},
    Kind{typeid(std::overflow_error), throw_with_text<std::overflow_error>},
    Kind{typeid(std::underflow_error), throw_with_text<std::underflow_error>},
    Kind{typeid(std::bad_alloc), throw_with_text<Told<std::bad_alloc>>},
    Kind{typeid(std::bad_cast), throw_with_text<Told<std::bad_cast>>},
    Kind{typeid(std::system_error), throw_system_error},
    Kind{typeid(Error), throw_own_error},
};

std::string origin_of(const Travelling& from) {
  return "in " + from.worker + ": " + readable_name(from.type) +
         (from.text.empty() ? "" : ": " + from.text);
}

}  // namespace

std::vector<std::byte> encode_current_exception(const std::string& worker, std::string trace) {
  Travelling from;
  from.trace = std::move(trace);
  from.worker = worker + " (pid " + std::to_string(getpid()) + ")";
  const std::type_info* const type = abi::__cxa_current_exception_type();
  from.type = type != nullptr ? type->name() : "an exception of another language";
  const auto* const known = std::ranges::find_if(
      kKinds, [&](const Kind& kind) { return type != nullptr && kind.type == *type; });
  if (known != kKinds.end()) from.kind = static_cast<std::uint8_t>(known - kKinds.begin() + 1);
  try {
    throw;
  } catch (const std::system_error& e) {
    if (const auto* const own = dynamic_cast<const Error*>(&e); own != nullptr) {
      const ErrorText& text = own->text();
      from.parts = {text.tried, text.expected, text.found, text.hint};
    }
    from.text = e.what();
    from.code = e.code().value();
    from.category = e.code().category().name();
  } catch (const std::exception& e) {
    from.text = e.what();
  } catch (...) {  // NOLINT(bugprone-empty-catch): its type's name is all there is to tell
  }
  return encode(from);
}

std::exception_ptr decode_exception(std::span<const std::byte> bytes) {
  Travelling from;
  try {
    if (decode(bytes, from) != Status::ok || from.kind > kKinds.size() ||
        from.trace.size() > kMostTraceBytes) {
      throw RemoteError("an exception", "its bytes can't be read");
    }
    try {
      throw RemoteTrace(origin_of(from), from.trace);
    } catch (const RemoteTrace&) {
      if (from.kind != 0) kKinds[from.kind - 1U].throw_it(from);
      std::throw_with_nested(RemoteError(readable_name(from.type), from.text));
    }
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace internal
}  // namespace sluice
