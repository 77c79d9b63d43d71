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

# File, case, subject; what the picture says of its median, and what the page says.
FIGURES = [
    ("pipe-2026-11-21-amd-epyc-2cpu", "pipe/rtt/64", "sluice", "351 ns", "351 ns"),
    ("pipe-2026-11-21-amd-epyc-2cpu", "pipe/oneway/64", "sluice", None, "11.9 million/s"),
    ("value-2026-11-21-amd-epyc-2cpu", "value/load/64", "sluice", "load 2.2", "load 2.2 ns"),
    ("value-2026-11-21-amd-epyc-2cpu", "value/store/64", "sluice", "store 22 ns", "store 22.1"),
    ("value-2026-11-21-amd-epyc-2cpu", "value/update/64", "sluice", None, "`update` 29.4"),
    ("lock-2026-11-21-amd-epyc-2cpu", "mutex/alone", "sluice", "unlock 8.3 ns", "alone 8.3 ns"),
    ("event-fifo-2026-11-21-amd-epyc-2cpu", "event/pingpong_awake", "sluice_auto_reset", "awake 98 ns", "97.7 ns"),
    ("event-fifo-2026-11-21-amd-epyc-2cpu", "event/pingpong_asleep", "sluice_auto_reset", "asleep 52 µs", "52.2 µs"),
    ("lock-condition-fifo-2026-11-21-amd-epyc-2cpu", "condition/awake", "sluice", "awake 327 ns", "327 ns"),
    ("lock-condition-fifo-2026-11-21-amd-epyc-2cpu", "condition/asleep", "sluice", "asleep 65 µs", "65.4 µs"),
    ("barrier-2026-11-21-amd-epyc-2cpu", "barrier/two_awake", "sluice", "awake 229 ns", "229 ns"),
    ("barrier-2026-11-21-amd-epyc-2cpu", "barrier/two_asleep", "sluice", "asleep 21 µs", "21.3 µs"),
]


def median(file, case, subject):
    rows = json.loads((ROOT / f"bench/results/{file}.json").read_text(encoding="utf-8"))
    return next(row["median"] for row in rows if row["case"] == case and row["subject"] == subject)


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
