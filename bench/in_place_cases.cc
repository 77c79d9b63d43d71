// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/in_place_cases.h"

#include <cstddef>
#include <string>

#include "sluice/bench/harness/channels.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/rivals/bare_buffers.h"
#include "sluice/bench/rivals/in_place.h"

namespace sluice::bench {
namespace {

constexpr std::size_t kSize = 65536;

template <Touch kTouch>
void add_in_place(Suite& suite, const std::string& name) {
  Case what = OneWay<kSize>::in_group("pipe");
  what.name = "pipe/" + name + "/65536";
  suite.add(what, {{"sluice", {{"", InPlace<kSize, kTouch>::roles}}},
                   {"bare_buffers",
                    {{"16", BareBuffers<kSize, kTouch, 16>::roles},
                     {"4", BareBuffers<kSize, kTouch, 4>::roles},
                     {"2", BareBuffers<kSize, kTouch, 2>::roles}}}});
}

}  // namespace

void add_in_place_cases(Suite& suite) {
  add_in_place<Touch::everything>(suite, "oneway_zero_copy");
  add_in_place<Touch::nothing>(suite, "oneway_zero_copy_untouched");
}

}  // namespace sluice::bench
