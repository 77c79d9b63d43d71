#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""filter.py HEADER: the header as Doxygen wants it.

The contract at a header's top is an ordinary comment. Here it becomes the documentation of the file:
what is indented is code, or a table. Members that mean in each class what they mean in the standard
library get one sentence here, and no comment there.
"""

import re
import sys


# What a declaration begins with, and what it then is. `= default`s that a line ends with, too.
CONVENTIONS = [
    (r"friend std::ostream& operator<<\(", "Writes its name and its state, for people to read."),
    (r"(friend )?(constexpr )?bool operator==\(", "Whether both are of equal value."),
    (r"(friend )?(constexpr )?auto operator<=>\(", "The order of the values."),
    (r"\w+\(const \w+&\) = delete;", "Not to be copied."),
    (r"\w+& operator=\(const \w+&\) = delete;", "Not to be copied."),
    (r"\w+\(\w+&&\)( noexcept)? = delete;", "Not to be moved."),
    (r"\w+& operator=\(\w+&&\)( noexcept)? = delete;", "Not to be moved."),
    (r"\w+\(const \w+&\)( noexcept)?( = default)?;", "A copy, of its own."),
    (r"\w+& operator=\(const \w+&( \w+)?\)( &)?( noexcept)?( = default)?( \{.*|;)", "As the copy constructor."),
    (r"\w+\(\w+&&( \w+)?\)( noexcept)?( = default)?( \{.*|;|$)", "Leaves the other empty."),
    (r"\w+& operator=\(\w+&&( \w+)?\)( &)?( noexcept)?( = default)?( \{.*|;)", "Ends its own, and leaves the other empty."),
    (r"(virtual )?~\w+\(\)( noexcept)?( override)? = default;", "Ends it."),
    (r"using value_type =", "The type of an item."),
    (r"using element_type =", "The type of an element, const if it can only be read."),
    (r"using size_type =", "For counts and indices."),
    (r"using difference_type =", "For distances between iterators."),
    (r"using (reference|pointer|iterator|const_iterator|iterator_concept|iterator_category) =", "As in the standard library's containers."),
]


# What users call that is inherited from there is theirs: of the namespace `internal`, these alone
# are in the reference.
BASES = ["ipc/item_queue.h", "ipc/pipe_calls.h", "ipc/pipe_end.h", "ipc/sealed_end.h"]


def escaped(text):
    """What is neither markup nor a command in our comments; within quotes Doxygen escapes."""
    parts = re.split(r'("[^"]*")', text)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([<>@\\#]|::)", r"\\\1", parts[i])
    return "".join(parts)


def without(text, begin, end):
    """The text, with what is from each `begin` to the next `end` marked as not for the reference."""
    return re.sub(rf"(?ms)({begin}.*?{end})", "/** @cond */\n\\1\n/** @endcond */", text)


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


def with_conventions(lines):
    """The lines, with a sentence before each conventional member that has no words of its own."""
    out = []
    for line in lines:
        text = line.strip()
        before = next((done for done in reversed(out) if not re.match(r"\s*(template|requires|\[\[)", done)), "")
        sentence = next((words for pattern, words in CONVENTIONS if re.match(pattern, text)), None)
        if sentence and "//" not in text and not before.strip().startswith("//"):
            out.append("/** %s */" % sentence)
        out.append(line)
    return out


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
    rest = [
        re.sub(r"(///<?)(.*)", lambda m: m[1] + escaped(m[2]), line)
        for line in with_conventions(lines[end:])
    ]
    code = "\n".join(rest)
    if sys.argv[1].endswith(tuple(BASES)):
        code = without(code, r"^ protected:$", r"(?=^ private:$)")
    else:
        # Not of what is only declared there: such a block has no comment at its end.
        begin_internal = r"^namespace (?:sluice::)?internal \{\n(?!(?:(?:class|struct) \w+;\n)+\}\n)"
        code = without(code, begin_internal, r"^\}  // namespace (?:sluice::)?internal$")
    text = "\n".join(lines[:begin] + [documented(contract), code])
    # What the standard library is told of ours is not ours, and outside its namespace confuses.
    print(re.sub(r"(?ms)^template <[^\n]*>\nstruct std::.*?\};$", "", text))


if __name__ == "__main__":
    main()
