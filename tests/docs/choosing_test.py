#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/choosing.svg and docs/choosing.md: each leaf has an example that is there, and each figure is one of bench/results/.

Usage: choosing_test.py FILE-IN-THE-ROOT-DIRECTORY
"""

import json
import pathlib
import re
import sys
import unittest
import xml.etree.ElementTree

ROOT = pathlib.Path(sys.argv.pop()).resolve().parent if len(sys.argv) > 1 else pathlib.Path()
SVG = "{http://www.w3.org/2000/svg}"

ALL = "compare-2026-11-22-amd-epyc-2cpu"

# File, case, subject; what the picture says of its median, and what the page says.
FIGURES = [
    (ALL, "pool/roundtrip_awake", "sluice", "awake 407 ns", "407 ns"),
    (ALL, "pool/roundtrip_asleep", "sluice", "asleep 50 µs", "50.3 µs"),
    (ALL, "pipe/rtt/64", "sluice", "126 ns", "126 ns"),
    (ALL, "pipe/oneway/64", "sluice", None, "102 million/s"),
    (ALL, "queue/rtt/8", "sluice", "127 ns", "127 ns"),
    (ALL, "queue/oneway/8", "sluice", None, "69.4 million/s"),
    (ALL, "value/load/64", "sluice", "load 0.97", "load 0.97 ns"),
    (ALL, "value/store/64", "sluice", "store 16 ns", "store 16.5"),
    (ALL, "value/update/64", "sluice", None, "`update` 17.5"),
    (ALL, "mutex/uncontended", "sluice", "unlock 11.7 ns", "alone 11.7 ns"),
    (ALL, "event/pingpong_awake", "sluice", "awake 86 ns", "86.3 ns"),
    (ALL, "event/pingpong_asleep", "sluice", "asleep 38 µs", "38.2 µs"),
    (ALL, "semaphore/pingpong_awake", "sluice", "awake 84 ns", "84.0 ns"),
    (ALL, "semaphore/pingpong_asleep", "sluice", "asleep 38 µs", "37.6 µs"),
    (ALL, "condvar/pingpong_awake", "sluice", "awake 242 ns", "242 ns"),
    (ALL, "condvar/pingpong_asleep", "sluice", "asleep 33 µs", "33.5 µs"),
    ("barrier-2026-11-21-amd-epyc-2cpu", "barrier/two_awake", "sluice", "awake 229 ns", "229 ns"),
    ("barrier-2026-11-21-amd-epyc-2cpu", "barrier/two_asleep", "sluice", "asleep 21 µs", "21.3 µs"),
]


def median(file, case, subject):
    rows = json.loads((ROOT / f"bench/results/{file}.json").read_text(encoding="utf-8"))
    row = next(row for row in rows if row["case"] == case and row["subject"] == subject)
    return row["median"] * (1000 if row["unit"] == "us" else 1)


def says(text, value):
    """Whether the number in `text` is `value`, rounded to as many places."""
    number = re.search(r"\d+(?:\.\d+)?", text).group()
    places = len(number.partition(".")[2])
    return f"{value / (1000 if 'µs' in text else 1):.{places}f}" == number


class Choosing(unittest.TestCase):
    def setUp(self):
        self.picture = xml.etree.ElementTree.parse(ROOT / "docs/choosing.svg").getroot()
        self.texts = ["".join(text.itertext()) for text in self.picture.iter(f"{SVG}text")]
        self.page = (ROOT / "docs/choosing.md").read_text(encoding="utf-8")

    def test_each_leaf_has_its_example_and_its_cost(self):
        leaves = [one for one in self.picture.iter(f"{SVG}rect") if one.get("class") == "leaf"]
        examples = ["".join(text.itertext()) for text in self.picture.iter(f"{SVG}text") if text.get("class") == "mono"]
        costs = [text for text in self.picture.iter(f"{SVG}text") if text.get("class") == "quiet"]
        self.assertGreater(len(leaves), 10)
        self.assertEqual((len(examples), len(costs)), (len(leaves), len(leaves)))
        for example in examples:
            folder, _, name = example.partition(":")
            self.assertTrue((ROOT / "examples" / folder / f"{name}.cc").is_file(), example)

    def test_figures_are_results(self):
        for file, case, subject, in_picture, on_page in FIGURES:
            value = median(file, case, subject)
            self.assertIn(f"{file}.json", self.page)
            self.assertIn(on_page, self.page)
            self.assertTrue(says(on_page, value), (on_page, value))
            if in_picture is not None:
                self.assertTrue(any(in_picture in text for text in self.texts), in_picture)
                self.assertTrue(says(in_picture, value), (in_picture, value))

    def test_no_figure_is_left_over(self):
        known = " ".join(row[3] or "" for row in FIGURES) + " 64 B"
        for text in self.picture.iter(f"{SVG}text"):
            if text.get("class") == "quiet":
                for number in re.findall(r"\d+(?:\.\d+)?", text.text):
                    self.assertIn(number, known)

    def test_it_has_both_colours(self):
        style = next(self.picture.iter(f"{SVG}style")).text
        self.assertIn("@media (prefers-color-scheme: dark)", style)
        self.assertEqual([one for one in self.picture.iter() if one.tag in (f"{SVG}script", f"{SVG}image")], [])


class Checks(unittest.TestCase):
    """They can fail."""

    def test_rounding(self):
        self.assertTrue(says("52.2 µs", 52218))
        self.assertFalse(says("52.3 µs", 52218))
        self.assertFalse(says("352 ns", 351.3))


if __name__ == "__main__":
    unittest.main()
