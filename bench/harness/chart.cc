// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/harness/chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <sstream>

namespace sluice::bench {
namespace {

constexpr double kWidth = 640, kHeight = 360;
constexpr double kLeft = 64, kRight = 150, kTop = 34, kBottom = 46;
constexpr double kRowHeight = 22, kRowLeft = 150, kRowRight = 90;
constexpr double kLabelHeight = 13;

/// Each rival has its colour in all charts, and those that meet in one differ, also for those who
/// see no red or no green (Okabe and Ito's, and some more).
struct Colour {
  const char* name;
  const char* colour;
};
constexpr std::array kColours = {
    Colour{"boost_interprocess", "#0072b2"},
    Colour{"boost_lockfree", "#0072b2"},
    Colour{"moodycamel", "#009e73"},
    Colour{"pthread", "#009e73"},
    Colour{"pipe", "#cc79a7"},
    Colour{"pthread_robust", "#cc79a7"},
    Colour{"atomic_queue2", "#e69f00"},
    Colour{"socketpair", "#e69f00"},
    Colour{"python", "#e69f00"},
    Colour{"atomic_queue", "#a6761d"},
    Colour{"posix_mq", "#a6761d"},
    Colour{"sem_t", "#a6761d"},
    Colour{"vyukov_unsafe", "#7570b3"},
    Colour{"zeromq", "#7570b3"},
    Colour{"futex", "#7570b3"},
    Colour{"turn_ring_unsafe", "#56b4e9"},
    Colour{"nng", "#56b4e9"},
    Colour{"readerwriterqueue", "#66a61e"},
    Colour{"python_executor", "#66a61e"},
    Colour{"iceoryx", "#66a61e"},
};

// Without variables, which not every program that draws SVG knows.
constexpr const char* kStyle = R"(<style>
svg { font: 12px system-ui, sans-serif; }
svg text { fill: #222; } svg .title { font-weight: 600; font-size: 14px; }
svg .grid { stroke: #ccc; stroke-width: 1; }
svg .line { fill: none; stroke-width: 1.6; }
svg .ours { stroke: #d1242f; stroke-width: 3.2; }
svg .limit { stroke: #222; stroke-dasharray: 5 4; }
svg .spread { stroke: #222; stroke-width: 1.2; }
svg .ours-dot, svg text.ours-name { fill: #d1242f; } svg .limit-dot { fill: #222; }
svg text.ours-name { font-weight: 600; }
@media (prefers-color-scheme: dark) {
svg text, svg .limit-dot { fill: #e6e6e6; } svg .grid { stroke: #444; }
svg .limit, svg .spread { stroke: #e6e6e6; }
svg .ours { stroke: #ff6b6b; } svg .ours-dot, svg text.ours-name { fill: #ff6b6b; } }
</style>
)";

/// Where a value lies between two ends, by its logarithm.
class Axis {
 public:
  Axis(double least, double most, double from, double to)
      : least_(std::log10(least)),
        span_(std::max(std::log10(most) - least_, 1e-9)),
        from_(from),
        to_(to) {}

  [[nodiscard]] double at(double value) const {
    return from_ + (std::log10(value) - least_) / span_ * (to_ - from_);
  }
  /// 1, 2, 5 in each decade, or powers of ten where there are many.
  [[nodiscard]] std::vector<double> ticks() const {
    std::vector<double> ticks;
    const bool wide = span_ > 3;
    for (int decade = static_cast<int>(std::floor(least_)); decade <= least_ + span_; ++decade) {
      for (const double digit : {1.0, 2.0, 5.0}) {
        const double value = digit * std::pow(10.0, decade);
        const double place = std::log10(value);
        if (wide && digit != 1) continue;
        if (place >= least_ - 1e-9 && place <= least_ + span_ + 1e-9) ticks.push_back(value);
      }
    }
    return ticks;
  }

 private:
  double least_, span_, from_, to_;
};

struct Range {
  double least = std::numeric_limits<double>::max();
  double most = 0;

  void take(double value) {
    if (!(value > 0)) return;
    least = std::min(least, value);
    most = std::max(most, value);
  }
  [[nodiscard]] bool is_empty() const { return most == 0; }
};

std::string begin_svg(double width, double height, const std::string& title) {
  std::ostringstream out;
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << width << ' ' << height
      << "\" role=\"img\">\n<title>" << escaped(title) << "</title>\n"
      << kStyle << "<text class=\"title\" x=\"8\" y=\"18\">" << escaped(title) << "</text>\n";
  return out.str();
}

std::string text_at(double x, double y, const char* anchor, const std::string& text,
                    const std::string& more = "") {
  std::ostringstream out;
  out << "<text x=\"" << x << "\" y=\"" << y << "\" text-anchor=\"" << anchor << "\"" << more << '>'
      << escaped(text) << "</text>\n";
  return out.str();
}

std::string rule(double x1, double y1, double x2, double y2, const char* css) {
  std::ostringstream out;
  out << "<line class=\"" << css << "\" x1=\"" << x1 << "\" y1=\"" << y1 << "\" x2=\"" << x2
      << "\" y2=\"" << y2 << "\"/>\n";
  return out.str();
}

/// Of round numbers: "64", "0.05".
std::string tick_name(double value) {
  std::array<char, 64> text = {};
  std::snprintf(text.data(), text.size(), "%.10g", value);
  return text.data();
}

std::string colour_of(const std::string& name) {
  const auto* const known = std::ranges::find(kColours, name, &Colour::name);
  return known == kColours.end() ? "#999999" : known->colour;
}

/// The attributes that say how a line looks.
std::string look_of(Rank rank, const std::string& name) {
  if (rank == Rank::ours) return "class=\"line ours\"";
  if (rank == Rank::limit) return "class=\"line limit\"";
  return "class=\"line\" stroke=\"" + colour_of(name) + "\"";
}

/// Names beside the lines' ends, moved so that none hides another.
class Labels {
 public:
  void add(double y, const std::string& name, const std::string& style) {
    labels_.push_back({y, name, style});
  }
  [[nodiscard]] std::string svg(double x) {
    std::ranges::sort(labels_, {}, &Label::y);
    double free = kTop;
    for (Label& label : labels_) {
      label.y = std::max(label.y, free);
      free = label.y + kLabelHeight;
    }
    double limit = kHeight - kBottom;
    for (auto label = labels_.rbegin(); label != labels_.rend(); ++label) {
      label->y = std::min(label->y, limit);
      limit = label->y - kLabelHeight;
    }
    std::ostringstream out;
    for (const Label& label : labels_) {
      out << text_at(x, label.y + 4, "start", label.name, label.style);
    }
    return out.str();
  }

 private:
  struct Label {
    double y;
    std::string name, style;
  };
  std::vector<Label> labels_;
};

std::string label_style(Rank rank, const std::string& name) {
  if (rank == Rank::ours) return " class=\"ours-name\"";
  if (rank == Rank::limit) return "";
  return " style=\"fill:" + colour_of(name) + "\"";
}

std::string axes_of(const LineChart& chart, const Axis& x, const Axis& y,
                    const std::vector<double>& xs) {
  std::ostringstream out;
  for (const double tick : y.ticks()) {
    out << rule(kLeft, y.at(tick), kWidth - kRight, y.at(tick), "grid")
        << text_at(kLeft - 6, y.at(tick) + 4, "end", tick_name(tick));
  }
  for (std::size_t i = 0; i < xs.size(); ++i) {
    const std::string name = i < chart.x_names.size() ? chart.x_names[i] : tick_name(xs[i]);
    out << rule(x.at(xs[i]), kTop, x.at(xs[i]), kHeight - kBottom, "grid")
        << text_at(x.at(xs[i]), kHeight - kBottom + 16, "middle", name);
  }
  out << text_at((kLeft + kWidth - kRight) / 2, kHeight - 8, "middle", chart.x_label)
      << text_at(kWidth - kRight, 18, "end", chart.y_label);
  return out.str();
}

std::string path_of(const Line& line, const Axis& x, const Axis& y, const std::string& look) {
  std::ostringstream out;
  out << "<path " << look << " d=\"";
  const char* verb = "M";
  for (const Point& p : line.points) {
    if (!(p.y > 0)) continue;
    out << verb << x.at(p.x) << ' ' << y.at(p.y);
    verb = "L";
  }
  out << "\"><title>" << escaped(line.name) << "</title></path>\n";
  return out.str();
}

std::vector<double> xs_of(const LineChart& chart) {
  std::vector<double> xs;
  for (const Line& line : chart.lines) {
    for (const Point& p : line.points) xs.push_back(p.x);
  }
  std::ranges::sort(xs);
  const auto [first, last] = std::ranges::unique(xs);
  xs.erase(first, last);
  return xs;
}

/// A name, the median as a dot, its spread as a rule, and the figure behind it.
std::string row_of(const Dot& dot, const Axis& x, double top) {
  const double middle = top + kRowHeight / 2;
  std::ostringstream out;
  out << text_at(kRowLeft - 8, middle + 4, "end", dot.name, label_style(dot.rank, dot.name));
  if (!(dot.value > 0)) return out.str() + text_at(kRowLeft, middle + 4, "start", "not known");
  std::string fill = "fill=\"" + colour_of(dot.name) + "\"";
  if (dot.rank == Rank::ours) fill = "class=\"ours-dot\"";
  if (dot.rank == Rank::limit) fill = "class=\"limit-dot\"";
  double end = x.at(dot.value);
  if (dot.low > 0 && dot.high > dot.low) {
    end = x.at(dot.high);
    out << rule(x.at(dot.low), middle, end, middle, "spread");
  }
  out << "<circle " << fill << " cx=\"" << x.at(dot.value) << "\" cy=\"" << middle
      << "\" r=\"5\"/>\n"
      << text_at(end + 9, middle + 4, "start", short_number(dot.value));
  return out.str();
}

}  // namespace

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string short_number(double value) {
  std::array<char, 64> text = {};
  int digits = 3;
  if (value >= 1) digits = 2;
  if (value >= 10) digits = 1;
  if (value >= 100) digits = 0;
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

std::string svg_of(const LineChart& chart) {
  Range range;
  for (const Line& line : chart.lines) {
    for (const Point& p : line.points) range.take(p.y);
  }
  const std::string head = begin_svg(kWidth, kHeight, chart.title);
  if (range.is_empty()) return head + "</svg>\n";
  const std::vector<double> xs = xs_of(chart);
  const Axis x(xs.front(), xs.back(), kLeft + 8, kWidth - kRight - 8);
  const Axis y(range.least / 1.2, range.most * 1.2, kHeight - kBottom, kTop);
  Labels labels;
  std::string ours;
  std::string others;
  for (const Line& line : chart.lines) {
    // What is ours lies on top.
    (line.rank == Rank::ours ? ours : others) += path_of(line, x, y, look_of(line.rank, line.name));
    const auto last = std::find_if(line.points.rbegin(), line.points.rend(),
                                   [](const Point& p) { return p.y > 0; });
    if (last != line.points.rend()) {
      labels.add(y.at(last->y), line.name, label_style(line.rank, line.name));
    }
  }
  return head + axes_of(chart, x, y, xs) + others + ours + labels.svg(kWidth - kRight + 6) +
         "</svg>\n";
}

std::string svg_of(const DotChart& chart) {
  Range range;
  for (const Dot& dot : chart.dots) {
    range.take(dot.value);
    range.take(dot.low);
    range.take(dot.high);
  }
  const double bottom = kTop + kRowHeight * static_cast<double>(chart.dots.size());
  std::string svg = begin_svg(kWidth, bottom + 24, chart.title + ", " + chart.unit);
  if (range.is_empty()) return svg + "</svg>\n";
  const Axis x(range.least, range.most, kRowLeft + 8, kWidth - kRowRight);
  for (const double tick : x.ticks()) {
    svg += rule(x.at(tick), kTop, x.at(tick), bottom, "grid");
    svg += text_at(x.at(tick), bottom + 16, "middle", tick_name(tick));
  }
  double top = kTop;
  for (const Dot& dot : chart.dots) {
    svg += row_of(dot, x, top);
    top += kRowHeight;
  }
  return svg + "</svg>\n";
}

}  // namespace sluice::bench
