// SPDX-License-Identifier: Apache-2.0
//
// The drawing: what is in it, where it lies, and that it is well-formed.

#include "sluice/testkit/timeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <system_error>
#include <vector>

namespace {

using sluice::testkit::Bar;
using sluice::testkit::kNever;
using sluice::testkit::save_picture;
using sluice::testkit::Timeline;
using sluice::testkit::timeline_html;
using sluice::testkit::timeline_svg;
using testing::HasSubstr;
using testing::Not;

Timeline three_calls() {
  Timeline timeline;
  timeline.title = "a <queue> & more";
  timeline.sentence = "1 < 2";
  timeline.lanes = {"first", "second"};
  timeline.bars.push_back({.lane = 0, .label = "push(0:1)", .from = 100, .to = 200, .place = 5});
  timeline.bars.push_back({.lane = 1,
                           .label = "pop() -> empty",
                           .kind = Bar::Kind::refusal,
                           .from = 250,
                           .to = 300,
                           .is_culprit = true});
  timeline.bars.push_back({.lane = 0, .label = "pop()", .kind = Bar::Kind::pop, .from = 260});
  timeline.certain_at = 300;
  return timeline;
}

/// Where each bar begins and ends.
std::vector<std::pair<int, int>> spans(const std::string& svg) {
  const std::regex path("class='bar' d='M([0-9]+) [0-9]+ H([0-9]+)");
  std::vector<std::pair<int, int>> found;
  for (auto at = std::sregex_iterator(svg.begin(), svg.end(), path); at != std::sregex_iterator();
       ++at) {
    found.emplace_back(std::stoi((*at)[1]), std::stoi((*at)[2]));
  }
  return found;
}

TEST(Timeline, BarsLieAsTheirTimesDo) {
  const auto found = spans(timeline_svg(three_calls()));
  ASSERT_EQ(found.size(), 3u);
  EXPECT_LT(found[0].first, found[0].second);
  EXPECT_LT(found[0].second, found[1].first);  // one after the other
  EXPECT_LT(found[1].first, found[2].first);   // they overlap
  EXPECT_LT(found[2].first, found[1].second);
  EXPECT_LT(found[1].second, found[2].second);  // it never returned
}

TEST(Timeline, EachLabelHasRoom) {
  Timeline timeline = three_calls();
  timeline.bars[0].label = std::string(40, 'x');
  const auto found = spans(timeline_svg(timeline));
  EXPECT_GE(found[0].second - found[0].first, 40 * 6);
}

TEST(Timeline, SaysWhoIsToBlameAndWhatIsOpen) {
  const std::string svg = timeline_svg(three_calls());
  EXPECT_THAT(svg, HasSubstr("<g class='refusal culprit'>"));
  EXPECT_THAT(svg, HasSubstr("<g class='pop open'>"));
  EXPECT_THAT(svg, HasSubstr("from 150 ns to 200 ns"));  // from the first call on
  EXPECT_THAT(svg, HasSubstr("it did not return"));
  EXPECT_THAT(svg, HasSubstr("from here on no order is possible"));
  EXPECT_THAT(svg, HasSubstr("place 1 in the order"));
}

TEST(Timeline, WithoutAnythingCertainThereIsNoLine) {
  Timeline timeline = three_calls();
  timeline.certain_at = kNever;
  EXPECT_THAT(timeline_svg(timeline), Not(HasSubstr("from here on")));
}

TEST(Timeline, IsWellFormed) {
  const std::string page = timeline_html(three_calls());
  EXPECT_THAT(page, HasSubstr("a &lt;queue&gt; &amp; more"));
  EXPECT_THAT(page, HasSubstr("<p class=\"sentence\">1 &lt; 2</p>"));
  EXPECT_THAT(page, HasSubstr("pop() -&gt; empty"));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  std::vector<std::string> open;
  const std::regex tag("<(/?)([a-z0-9]+)([^>]*?)(/?)>");
  for (auto at = std::sregex_iterator(page.begin(), page.end(), tag); at != std::sregex_iterator();
       ++at) {
    const std::string name = (*at)[2];
    if ((*at)[1] == "/") {
      ASSERT_FALSE(open.empty()) << name;
      EXPECT_EQ(open.back(), name);
      open.pop_back();
    } else if ((*at)[4] != "/") {
      open.push_back(name);
    }
  }
  EXPECT_TRUE(open.empty());
}

TEST(Timeline, NothingAtAllIsDrawnToo) { EXPECT_THAT(timeline_html({}), HasSubstr("</svg>")); }

TEST(SavePicture, GoesToWhereBazelCollects) {
  const std::string directory = testing::TempDir() + "pictures";
  std::filesystem::create_directories(directory);
  const char* set = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR");
  const std::string before = set != nullptr ? set : "";
  setenv("TEST_UNDECLARED_OUTPUTS_DIR", directory.c_str(), 1);
  const std::string path = save_picture("<html/>", "my queue/<int>");
  if (set != nullptr) {
    setenv("TEST_UNDECLARED_OUTPUTS_DIR", before.c_str(), 1);
  } else {
    unsetenv("TEST_UNDECLARED_OUTPUTS_DIR");
  }
  EXPECT_EQ(path, directory + "/my_queue__int_.html");
  std::ifstream file(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "<html/>");
  std::filesystem::remove_all(directory);
}

TEST(SavePicture, SaysWhereItCanNot) {
  EXPECT_THROW((void)save_picture("", "x", "/nonexistent"), std::system_error);
}

}  // namespace
