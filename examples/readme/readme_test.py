#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""README.md's program is readme.cc, and prints what it should. Arguments: binary, readme.cc, README.md."""

import re
import subprocess
import sys

binary, source, readme = sys.argv[1:]

code = re.search(r"// \[README\]\n(.*)// \[/README\]", open(source).read(), re.S).group(1)
shown = re.search(r"```cpp\n(.*?)```", open(readme).read(), re.S).group(1)
if code != shown:
    sys.exit("README.md's first cpp block differs from examples/readme/readme.cc:\n" + shown)

printed = subprocess.run([binary], check=True, capture_output=True, text=True, timeout=60).stdout
expected = r"1 101\n2 102\n3 103\nfeed \(pid \d+\): exited with 0\n"
if not re.fullmatch(expected, printed):
    sys.exit(f"expected {expected}, printed:\n{printed}")
