#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tables that say that they are made by bench/tables.py are what it makes of the results that they name.

Usage: tables_test.py FILE-IN-THE-ROOT-DIRECTORY
"""

import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop()).resolve().parent if len(sys.argv) > 1 else pathlib.Path()
MARK = re.compile(r"<!-- bench/tables.py (\w+)((?: [\w.-]+\.json)+) -->\n((?:\|.*\n)*)")


def tables_of(page):
    """Name, files and lines of each."""
    return [(name, files.split(), table) for name, files, table in MARK.findall(page)]


def made(name, files):
    results = [ROOT / "bench/results" / file for file in files]
    return subprocess.run([sys.executable, ROOT / "bench/tables.py", name, *results],
                          check=True, capture_output=True, text=True).stdout


class Tables(unittest.TestCase):
    def test_each_is_what_is_made(self):
        found = []
        for path in ["README.md", "docs/benchmarking.md"]:
            for name, files, table in tables_of((ROOT / path).read_text(encoding="utf-8")):
                with self.subTest(f"{path}: {name}"):
                    self.assertEqual(table, made(name, files))
                found.append(name)
        self.assertEqual(sorted(found), ["front", "goals", "measured", "rivals", "safety"])

    def test_they_have_what_they_are_about(self):
        for name, files, table in tables_of((ROOT / "docs/benchmarking.md").read_text(encoding="utf-8")):
            self.assertGreater(table.count("\n"), 10, name)
            self.assertNotIn("?", table, name)


class Checks(unittest.TestCase):
    """They can fail."""

    def test_a_table_ends_with_its_last_line(self):
        page = "x\n<!-- bench/tables.py goals a.json b.json -->\n| a |\n|---|\n\n| other |\n"
        self.assertEqual(tables_of(page), [("goals", ["a.json", "b.json"], "| a |\n|---|\n")])


if __name__ == "__main__":
    unittest.main()
