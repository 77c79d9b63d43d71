#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""filter.py HEADER: the header as Doxygen wants it.

The contract at a header's top is an ordinary comment. Here it becomes the documentation of the file:
what is indented is code, or a table.
"""

import re
import sys


def escaped(text):
    """What is neither markup nor a command in our comments."""
    return re.sub(r"([<>@\\#]|::)", r"\\\1", text)


def documented(contract):
    """The lines of a contract, without their slashes, as a comment of Doxygen's."""
    lines = ["/** @file"]
    code = []

    def close_code():
        if code:
            while code and not code[-1]:
                code.pop()
            lines.extend(["@verbatim"] + code + ["@endverbatim", ""])
            code.clear()

    for line in contract:
        if line.startswith("  ") or (code and not line):
            code.append(line)
            continue
        close_code()
        lines.append(escaped(line))
    close_code()
    return "\n".join(lines + ["*/"])


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        lines = file.read().split("\n")
    begin = 0
    while begin < len(lines) and not re.match(r"//( |$)", lines[begin]):
        begin += 1
    if begin < len(lines) and "SPDX" in lines[begin]:
        begin += 1
    end = begin
    while end < len(lines) and lines[end].startswith("//"):
        end += 1
    contract = [line[2:].removeprefix(" ") for line in lines[begin:end]]
    rest = [re.sub(r"(///<?)(.*)", lambda m: m[1] + escaped(m[2]), line) for line in lines[end:]]
    text = "\n".join(lines[:begin] + [documented(contract)] + rest)
    # What the standard library is told of ours is not ours, and outside its namespace confuses.
    print(re.sub(r"(?ms)^template <[^\n]*>\nstruct std::.*?\};$", "", text))


if __name__ == "__main__":
    main()
