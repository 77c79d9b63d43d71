#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Refuses what neither compiler nor Bazel refuses, in every .h and .cc file of the tree.

  prefix     a quoted include starts with "sluice/", and a header of ours is never included in <>
  layer      an include points down (bazel/layers.bzl)
  guard      a header begins and ends with the include guard that its path gives
  own        x.cc includes x.h beside it first, and so shows that x.h compiles alone
  order      a memory order has a comment that says why, on its line or in the three lines above
  uncompiled a header of a layer that //tests/headers:compile_test does not reach (with --compiled)

Usage: lint.py [--compiled MANIFEST] FILE-IN-THE-ROOT-DIRECTORY
"""

import argparse
import ast
import os
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
ORDER = re.compile(r"\bmemory_order(?:_|::)(?:relaxed|consume|acquire|release|acq_rel|seq_cst)\b"
                   r"|\bk(?:Relaxed|Consume|Acquire|Release|AcqRel|SeqCst)\b")
# One token of C++ that may hold what only looks like a comment or like code.
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|R"(?P<raw>[^()\\\s]{0,16})\(.*?\)(?P=raw)"'
                   r"""|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])*'""", re.DOTALL)
LINES_ABOVE = 3


def split(text):
    """The lines without comments and literals, and for each line the comment text that is on it."""
    comments = {}

    def blank(match):
        token = match.group()
        first = text.count("\n", 0, match.start())
        if token.startswith(("//", "/*")):
            for i, line in enumerate(token.split("\n")):
                comments.setdefault(first + i, []).append(line)
        return re.sub(r"[^\n]", " ", token)

    code = TOKEN.sub(blank, text).split("\n")
    return code, {i: " ".join(parts) for i, parts in comments.items()}


def is_reason(comment):
    return len(re.findall(r"[A-Za-z]{2,}", comment.replace("NOLINT", ""))) >= 2


def guard_of(path):
    return "SLUICE_" + re.sub(r"[^A-Za-z0-9]", "_", path).upper() + "_"


def check_includes(path, text, code, may_use):
    folder = os.path.dirname(path)
    if folder not in may_use:
        folder = path.split("/")[0]
    for number, (line, stripped) in enumerate(zip(text.split("\n"), code), 1):
        match = INCLUDE.match(line)
        if not match or "#" not in stripped:
            continue
        bracket, name = match.groups()
        if (bracket == '"') != name.startswith("sluice/"):
            yield number, "prefix", f'{name}: "sluice/..." for our headers, <...> for all others'
        elif bracket == '"' and folder in may_use:
            other = name.split("/")[1]
            allowed = [folder] + may_use[folder]
            if other not in allowed:
                yield number, "layer", f"{name}: {folder}/ may use only {', '.join(allowed)}"


def check_guard(path, code):
    lines = [(i, " ".join(line.split())) for i, line in enumerate(code, 1) if line.strip()]
    guard = guard_of(path)
    texts = [text for _, text in lines]
    if texts[:2] != [f"#ifndef {guard}", f"#define {guard}"] or texts[-1] != "#endif":
        yield lines[0][0] if lines else 1, "guard", f"all of it belongs between guards of {guard}"


def check_own(path, text, paths):
    header = re.sub(r"\.cc$", ".h", path)
    if header == path or header not in paths:
        return
    for number, line in enumerate(text.split("\n"), 1):
        match = INCLUDE.match(line)
        if match:
            if match.groups() != ('"', "sluice/" + header):
                yield number, "own", f'"sluice/{header}" comes first'
            return
    yield 1, "own", f'"sluice/{header}" is not included'


def check_orders(code, comments):
    for i, line in enumerate(code):
        match = ORDER.search(line)
        near = (comments.get(j, "") for j in range(i - LINES_ABOVE, i + 1))
        if match and not any(map(is_reason, near)):
            yield i + 1, "order", f"{match.group()}: with whom does it pair, why does it suffice?"


def check_file(path, text, may_use, paths=()):
    """All violations of one file, as (line, rule, message); paths are relative to the root."""
    code, comments = split(text)
    yield from check_includes(path, text, code, may_use)
    yield from check_own(path, text, paths)
    if path.endswith(".h"):
        yield from check_guard(path, code)
    yield from check_orders(code, comments)


def read_table(root):
    tree = ast.parse((root / "bazel/layers.bzl").read_text())
    tables = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)]
    return tables[0]


def sources(root):
    """The C++ files below root, but for what Bazel ignores and its own output links."""
    ignored = {root / line for line in (root / ".bazelignore").read_text().split()}
    for directory, folders, files in os.walk(root):
        here = pathlib.Path(directory)
        folders[:] = sorted(f for f in folders
                            if not f.startswith((".", "bazel-")) and here / f not in ignored)
        for name in sorted(files):
            if name.endswith((".h", ".cc")):
                yield (here / name).relative_to(root).as_posix()


def check_compiled(paths, manifest, may_use):
    compiled = set(manifest.read_text().split())
    for path in paths:
        if path.endswith(".h") and path.split("/")[0] in may_use and path not in compiled:
            yield path, 1, "uncompiled", "not reached by //tests/headers:compile_test: add it there"


def main(argv):
    parser = argparse.ArgumentParser()
    parser.add_argument("--compiled", type=pathlib.Path)
    parser.add_argument("anchor", type=pathlib.Path)
    arguments = parser.parse_args(argv)
    # Not a sandbox's link to one file, but the tree that it lies in: a new file is seen before any
    # BUILD file names it.
    root = arguments.anchor.resolve().parent
    may_use = read_table(root)
    paths = list(sources(root))
    found = [(path, *violation) for path in paths
             for violation in check_file(path, (root / path).read_text(), may_use, paths)]
    if arguments.compiled:
        found += check_compiled(paths, arguments.compiled, may_use)
    for path, line, rule, message in found:
        print(f"{path}:{line}: [{rule}] {message}")
    print(f"{len(paths)} files, {len(found)} violations")
    return 1 if found or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
