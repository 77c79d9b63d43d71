#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes compile_commands.json, for clangd: bazel/compile_commands.py [--config=...] [TARGET...]

Asks Bazel how it would compile each file of the targets (default: //...), after making it lay out
the headers under their sluice/... names. Paths go through the tree's link bazel-out, so they hold
until the next `bazel clean`.
"""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# gcc's own, which clangd refuses.
NOT_FOR_CLANG = {"-fno-canonical-system-headers", "-Wno-free-nonheap-object"}


def bazel(*arguments):
    command = [ROOT / "bazelw", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


def entry(arguments):
    """One row of the database, or None for a file that is not of this tree."""
    source = arguments[arguments.index("-c") + 1]
    if source.startswith("external/"):
        return None
    kept = [a for a in arguments if a not in NOT_FOR_CLANG]
    return {"directory": str(ROOT), "file": source, "arguments": kept}


def main(argv):
    options = [a for a in argv if a.startswith("-")]
    targets = [a for a in argv if not a.startswith("-")] or ["//..."]
    bazel("build", "--output_groups=compilation_prerequisites_INTERNAL_", *options, "--", *targets)
    query = 'mnemonic("CppCompile", set(%s))' % " ".join(targets)
    actions = json.loads(bazel("aquery", "--output=jsonproto", *options, query)).get("actions", [])
    rows = {row["file"]: row for row in (entry(a["arguments"]) for a in actions) if row}
    path = ROOT / "compile_commands.json"
    path.write_text(json.dumps([rows[name] for name in sorted(rows)], indent=1) + "\n")
    print(f"{path}: {len(rows)} files")


if __name__ == "__main__":
    main(sys.argv[1:])
