#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each text that the library can fail with is in docs/troubleshooting.md.

  tried   the first words of an Error: a code span of the page is how they begin
  misuse  the text of a std::logic_error or its kin: a code span of the page is a part of it
  status  each Status has its row

Usage: troubleshooting_test.py FILE-IN-THE-ROOT-DIRECTORY
"""

import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop()).resolve().parent if len(sys.argv) > 1 else pathlib.Path()
LAYERS = ("sync", "lockfree", "ipc", "pool")
LITERAL = r'"((?:[^"\\]|\\.)*)"'
TRIED = re.compile(r"\.tried = (?:std::string\()?" + LITERAL)
MISUSE = re.compile(r"\b(?:logic_error|invalid_argument|out_of_range|length_error)\(\s*([^;]{0,300})")


def sources(root):
    for layer in LAYERS:
        for pattern in ("*.h", "*.cc"):
            for path in sorted((root / layer).glob(pattern)):
                yield path, path.read_text(encoding="utf-8")


def plain(literal):
    return literal.replace('\\"', "").strip()


def tried_texts(text):
    return {plain(match) for match in TRIED.findall(text)} - {""}


def misuse_texts(text):
    """The literals of each throw, as one text; what is between them is three dots."""
    texts = set()
    for arguments in MISUSE.findall(text):
        words = " ... ".join(plain(match) for match in re.findall(LITERAL, arguments))
        if len(words.split()) > 2:
            texts.add(words)
    return texts


def spans(page):
    page = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    return [span.replace('"', "") for span in re.findall(r"`([^`\n]+)`", page)]


def is_begun_by(text, span):
    """Whether `span`, but for its placeholders, is how `text` begins, in whole words, or the other way round."""
    span = re.split(r"\.\.\.|\bx\b|\bN\b", span)[0].strip()
    short, long = sorted((span, text), key=len)
    return bool(short) and long.startswith(short) and not re.match(r"\w", long[len(short):])


def is_part(text, span):
    parts = [part.strip() for part in re.split(r"\.\.\.|\bN\b|\bM\b", span) if part.strip()]
    flat = re.sub(r"\s*\.\.\.\s*", " ", text)
    return len(span.split()) > 1 and all(part in flat for part in parts)


class Troubleshooting(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
        self.spans = spans(self.page)

    def lacking(self, texts_of, covers):
        return sorted(f"{path.name}: {text}" for path, source in sources(ROOT) for text in texts_of(source)
                      if not any(covers(text, span) for span in self.spans))

    def test_has_what_was_tried(self):
        self.assertEqual(self.lacking(tried_texts, is_begun_by), [])

    def test_has_each_misuse(self):
        self.assertEqual(self.lacking(misuse_texts, is_part), [])

    def test_has_each_status(self):
        header = (ROOT / "sync/status.h").read_text(encoding="utf-8")
        names = re.findall(r"^  (\w+),", header.split("enum class")[1].split("};")[0], re.MULTILINE)
        self.assertGreater(len(names), 10)
        rows = [line.split("|")[1].strip() for line in self.page.splitlines() if line.startswith("|")]
        self.assertEqual([name for name in names if name != "ok" and f"`{name}`" not in rows], [])


class Checks(unittest.TestCase):
    """They can fail."""

    def test_texts_are_found(self):
        self.assertEqual(tried_texts('Error(s, {.tried = "open pipe \\"" + name})'), {"open pipe"})
        self.assertEqual(misuse_texts('throw std::logic_error("sluice: no " +\n std::to_string(n) + " left");'),
                         {"sluice: no ... left"})

    def test_what_is_not_on_the_page_is_found(self):
        self.assertTrue(is_begun_by("start the thread", 'start the thread "x"'.replace('"', "")))
        self.assertFalse(is_begun_by("start the threads", "start the thread"))
        self.assertTrue(is_part("sluice: index ... of an array of", "index N of an array of M"))
        self.assertFalse(is_part("sluice: index ... of a list of", "index N of an array of M"))


if __name__ == "__main__":
    unittest.main()
