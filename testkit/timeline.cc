// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/timeline.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

namespace sluice::testkit {
namespace {

// All in pixels.
constexpr int kLeft = 84;  // the lanes' names
constexpr int kTop = 26;   // the words over the line
constexpr int kLaneHeight = 66;
constexpr int kBarTop = 10;
constexpr int kBarHeight = 28;
constexpr int kStep = 12;  // between two events
constexpr int kCharWidth = 7;
constexpr int kDot = 9;

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      default:
        safe += c;
    }
  }
  return safe;
}

const char* name_of(Bar::Kind kind) {
  constexpr const char* kNames[] = {"push", "pop", "refusal", "other"};
  return kNames[static_cast<std::size_t>(kind)];
}

/// Where each bar lies from left to right.
class Layout {
 public:
  explicit Layout(const Timeline& timeline) : timeline_(timeline), spans_(timeline.bars.size()) {
    place_events();
    place_dots();
  }

  struct Span {
    int from = 0;
    int to = 0;
    int dot = 0;
    std::size_t number = 0;  ///< 0: no dot
  };
  [[nodiscard]] const Span& operator[](std::size_t bar) const { return spans_[bar]; }
  [[nodiscard]] const std::vector<std::size_t>& dotted() const { return dotted_; }
  [[nodiscard]] int right() const { return right_; }
  /// -1: nowhere.
  [[nodiscard]] int certain() const { return certain_; }

 private:
  struct Event {
    std::int64_t time;
    bool is_return;
    std::size_t bar;
  };

  [[nodiscard]] std::vector<Event> events() const {
    std::vector<Event> events;
    for (std::size_t i = 0; i < timeline_.bars.size(); ++i) {
      events.push_back({timeline_.bars[i].from, false, i});
      if (timeline_.bars[i].to != kNever) events.push_back({timeline_.bars[i].to, true, i});
    }
    std::ranges::sort(events, {},
                      [](const Event& e) { return std::tuple(e.time, e.is_return, e.bar); });
    return events;
  }

  static int width_of(const Bar& bar) {
    return static_cast<int>(bar.label.size()) * kCharWidth + 14;
  }

  void place_events() {
    std::vector<int> lane_ends(timeline_.lanes.size(), kLeft);
    int x = kLeft;
    for (const Event& event : events()) {
      const Bar& bar = timeline_.bars[event.bar];
      x += kStep;
      if (event.is_return) {
        x = std::max(x, spans_[event.bar].from + width_of(bar));
        spans_[event.bar].to = lane_ends[bar.lane] = x;
        if (event.time == timeline_.certain_at) certain_ = x;
      } else {
        x = std::max(x, lane_ends[bar.lane] + kStep);
        spans_[event.bar].from = x;
      }
    }
    right_ = x + 2 * kStep;
    for (std::size_t i = 0; i < spans_.size(); ++i) {
      if (timeline_.bars[i].to == kNever) {
        right_ = std::max(right_, spans_[i].from + width_of(timeline_.bars[i]) + 2 * kStep);
      }
    }
    for (std::size_t i = 0; i < spans_.size(); ++i) {
      if (timeline_.bars[i].to == kNever) spans_[i].to = right_;
    }
  }

  /// The first point of time that is left for each, in their order.
  void place_dots() {
    for (std::size_t i = 0; i < spans_.size(); ++i) {
      if (timeline_.bars[i].place) dotted_.push_back(i);
    }
    std::ranges::sort(dotted_, {}, [&](std::size_t i) { return *timeline_.bars[i].place; });
    int x = 0;
    std::size_t number = 0;
    for (const std::size_t i : dotted_) {
      x = std::max(x, spans_[i].from + kDot);
      spans_[i].dot = std::min(x, spans_[i].to);
      spans_[i].number = ++number;
    }
  }

  const Timeline& timeline_;
  std::vector<Span> spans_;
  std::vector<std::size_t> dotted_;
  int right_ = 0;
  int certain_ = -1;
};

int top_of(std::size_t lane) { return kTop + static_cast<int>(lane) * kLaneHeight; }

void draw_lanes(std::ostream& svg, const Timeline& timeline, int right) {
  for (std::size_t lane = 0; lane < timeline.lanes.size(); ++lane) {
    const int top = top_of(lane);
    if (lane % 2 == 0) {
      svg << "<rect class='lane' x='0' y='" << top << "' width='" << right << "' height='"
          << kLaneHeight << "'/>\n";
    }
    svg << "<text class='name' x='8' y='" << top + kBarTop + kBarHeight / 2 + 4 << "'>"
        << escaped(timeline.lanes[lane]) << "</text>\n";
  }
}

/// The outline: a jagged right side if it is open.
std::string outline(const Layout::Span& span, int top, bool is_open) {
  std::ostringstream path;
  const int bottom = top + kBarHeight;
  path << 'M' << span.from << ' ' << top << " H" << span.to;
  if (is_open) {
    for (int i = 1; i <= 4; ++i) {
      path << " L" << span.to - (i % 2 == 1 ? 7 : 0) << ' ' << top + i * kBarHeight / 4;
    }
  } else {
    path << " V" << bottom;
  }
  path << " H" << span.from << " Z";
  return path.str();
}

void draw_bar(std::ostream& svg, const Timeline& timeline, const Bar& bar, const Layout::Span& span,
              std::int64_t start) {
  const int top = top_of(bar.lane) + kBarTop;
  svg << "<g class='" << name_of(bar.kind) << (bar.is_culprit ? " culprit" : "")
      << (bar.to == kNever ? " open" : "") << "'><title>" << escaped(timeline.lanes[bar.lane])
      << ": " << escaped(bar.label) << "&#10;from " << bar.from - start << " ns ";
  if (bar.to == kNever) {
    svg << "on; it did not return";
  } else {
    svg << "to " << bar.to - start << " ns";
  }
  if (span.number != 0) svg << "&#10;place " << span.number << " in the order that is drawn";
  svg << "</title>";
  if (bar.is_culprit) {
    svg << "<rect class='ground' x='" << span.from - 5 << "' y='" << top - 5 << "' width='"
        << span.to - span.from + 10 << "' height='" << kBarHeight + 10 << "' rx='5'/>";
  }
  svg << "<path class='bar' d='" << outline(span, top, bar.to == kNever) << "'/><text x='"
      << span.from + 7 << "' y='" << top + 18 << "'>" << escaped(bar.label) << "</text></g>\n";
}

void draw_order(std::ostream& svg, const Timeline& timeline, const Layout& layout) {
  const auto dot_y = [&](std::size_t i) {
    return top_of(timeline.bars[i].lane) + kBarTop + kBarHeight + 4;
  };
  if (layout.dotted().size() > 1) {
    svg << "<polyline class='order' points='";
    for (const std::size_t i : layout.dotted()) svg << layout[i].dot << ',' << dot_y(i) << ' ';
    svg << "'/>\n";
  }
  for (const std::size_t i : layout.dotted()) {
    svg << "<circle class='dot' cx='" << layout[i].dot << "' cy='" << dot_y(i) << "' r='" << kDot
        << "'/><text class='number' x='" << layout[i].dot << "' y='" << dot_y(i) + 4 << "'>"
        << layout[i].number << "</text>\n";
  }
}

void draw_certain(std::ostream& svg, int x, int bottom) {
  if (x < 0) return;
  svg << "<line class='certain' x1='" << x << "' y1='" << kTop - 6 << "' x2='" << x << "' y2='"
      << bottom << "'/><text class='certain' x='" << x << "' y='" << kTop - 11
      << "'>from here on no order is possible</text>\n";
}

constexpr const char* kStyle = R"(
svg { background: #fff; }
svg text { font: 11.5px ui-monospace, 'DejaVu Sans Mono', monospace; fill: #111; }
.lane { fill: #f4f5f7; }
.name { font-weight: bold; }
.bar { stroke-width: 1.2; }
.push .bar { fill: #cfe2ff; stroke: #2f65b0; }
.pop .bar { fill: #cdeccf; stroke: #2c7a37; }
.refusal .bar { fill: #ffe7b3; stroke: #a66b00; }
.other .bar { fill: #e6dcf5; stroke: #6a4a9c; }
.open .bar { stroke-dasharray: 4 3; }
.ground { fill: #ffd9d6; stroke: none; }
.culprit .bar { stroke: #d1180b; stroke-width: 3; }
.culprit text { font-weight: bold; }
.order { fill: none; stroke: #555; stroke-width: 1; stroke-dasharray: 2 3; opacity: 0.7; }
.dot { fill: #333; }
svg text.number { fill: #fff; font-size: 10px; text-anchor: middle; }
line.certain { stroke: #d1180b; stroke-width: 1.5; stroke-dasharray: 6 4; }
svg text.certain { fill: #d1180b; text-anchor: end; }
)";

constexpr const char* kPageStyle = R"(
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5em; color: #111; background: #fff; }
h1 { font-size: 1.2em; margin: 0 0 .3em; }
.sentence { font-size: 1.15em; background: #ffd9d6; border-left: 5px solid #d1180b;
            padding: .5em .8em; margin: .4em 0 .8em; max-width: 70em; }
.scroll { overflow-x: auto; border: 1px solid #ddd; }
.legend span { padding: .1em .5em; margin-right: .7em; border: 1.5px solid; border-radius: 3px; }
.note { color: #444; max-width: 70em; }
)";

constexpr const char* kLegend = R"(<p class="legend">
<span style="background:#cfe2ff;border-color:#2f65b0">push</span>
<span style="background:#cdeccf;border-color:#2c7a37">pop</span>
<span style="background:#ffe7b3;border-color:#a66b00">empty or full</span>
<span style="background:#fff;border-color:#d1180b;border-width:3px">shows the fault</span>
<span style="background:#fff;border-color:#666;border-style:dashed">never returned, or not in time:
it may have happened</span></p>
)";

}  // namespace

std::string timeline_svg(const Timeline& timeline) {
  const Layout layout(timeline);
  const int bottom = top_of(timeline.lanes.size());
  std::int64_t start = kNever;
  for (const Bar& bar : timeline.bars) start = std::min(start, bar.from);
  // The words at the line end at it.
  const int right = std::max(layout.right(), kLeft + 260);
  std::ostringstream svg;
  svg << "<svg xmlns='http://www.w3.org/2000/svg' width='" << right + 10 << "' height='"
      << bottom + 8 << "' viewBox='0 0 " << right + 10 << ' ' << bottom + 8 << "'>\n<style>"
      << kStyle << "</style>\n";
  draw_lanes(svg, timeline, right);
  for (std::size_t i = 0; i < timeline.bars.size(); ++i) {
    draw_bar(svg, timeline, timeline.bars[i], layout[i], start);
  }
  draw_certain(svg, layout.certain(), bottom);
  draw_order(svg, timeline, layout);
  svg << "</svg>\n";
  return svg.str();
}

std::string timeline_html(const Timeline& timeline) {
  std::ostringstream page;
  page << "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n<title>"
       << escaped(timeline.title) << "</title>\n<style>" << kPageStyle
       << "</style></head>\n<body>\n<h1>" << escaped(timeline.title)
       << "</h1>\n<p class=\"sentence\">" << escaped(timeline.sentence)
       << "</p>\n<div class=\"scroll\">\n"
       << timeline_svg(timeline) << "</div>\n"
       << kLegend
       << "<p class=\"note\">A bar reaches from call to return; time is not to scale (point at a "
          "bar for its times). The numbered dots are an order that is possible of what had "
          "returned before the red line; a call without a dot has no place in it, or has not "
          "happened yet.";
  if (timeline.hidden != 0) page << ' ' << timeline.hidden << " other calls are not drawn.";
  page << "</p>\n</body></html>\n";
  return page.str();
}

std::string save_picture(const std::string& html, const std::string& name,
                         const std::string& directory) {
  std::string path = directory;
  if (path.empty()) {
    const char* outputs = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR");
    path = outputs != nullptr && *outputs != '\0' ? outputs : ".";
  }
  path += '/';
  std::ranges::transform(name, std::back_inserter(path), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '.' ? static_cast<char>(c) : '_';
  });
  path += ".html";
  std::ofstream file(path);
  file << html;
  file.close();
  if (!file) throw std::system_error(errno, std::generic_category(), "writing " + path);
  return path;
}

}  // namespace sluice::testkit
