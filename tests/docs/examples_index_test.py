#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""examples/README.md has one line for each example, and none for what is not there.

Usage: examples_index_test.py FILE-IN-THE-ROOT-DIRECTORY
"""

import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop()).resolve().parent if len(sys.argv) > 1 else pathlib.Path()


def built(root):
    """FOLDER:NAME of each sluice_example."""
    return sorted(f"{build.parent.name}:{name}"
                  for build in (root / "examples").glob("*/BUILD")
                  for name in re.findall(r'^sluice_example\(\n    name = "(\w+)"', build.read_text(encoding="utf-8"), re.M))


def listed(page):
    """FOLDER:NAME of each line: the folder is the head of its table."""
    found, folder = [], None
    for line in page.splitlines():
        if head := re.match(r"\| \[`(\w+)`\]\(\1\) \|", line):
            folder = head[1]
        elif not line.startswith("|"):
            folder = None
        elif folder and (name := re.match(r"\| `(\w+)` \| [^\s|]", line)):
            found.append(f"{folder}:{name[1]}")
    return sorted(found)


class Index(unittest.TestCase):
    def test_each_example_has_one_line(self):
        examples = built(ROOT)
        self.assertGreater(len(examples), 50)
        self.assertEqual(listed((ROOT / "examples/README.md").read_text(encoding="utf-8")), examples)

    def test_the_workspaces_are_named(self):
        page = (ROOT / "examples/README.md").read_text(encoding="utf-8")
        for workspace in (ROOT / "examples").glob("*/WORKSPACE"):
            self.assertIn(f"]({workspace.parent.name})", page)


class Checks(unittest.TestCase):
    """They can fail."""

    def test_a_line_counts_under_its_head_only(self):
        page = "| [`pipes`](pipes) | |\n|---|---|\n| `pipe` | text |\n\n| `lost` | text |\n"
        self.assertEqual(listed(page), ["pipes:pipe"])

    def test_a_line_needs_words(self):
        self.assertEqual(listed("| [`pipes`](pipes) | |\n| `pipe` | |\n"), [])


if __name__ == "__main__":
    unittest.main()
