#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plants one violation of each rule of lint.py, and what only looks like one."""

import pathlib
import tempfile
import unittest

import lint

MAY_USE = {"sync": [], "ipc": ["sync"], "ipc/far": ["ipc", "sync", "pool"]}

GOOD = """\
// SPDX-License-Identifier: Apache-2.0
#ifndef SLUICE_IPC_X_H_
#define SLUICE_IPC_X_H_
#include <atomic>
#include "sluice/ipc/y.h"
#include "sluice/sync/word.h"
#if defined(__linux__)
// Release: pairs with the acquire in y.h; the payload was written before.
inline void f(std::atomic<int>& a) { a.store(1, std::memory_order_release); }
#endif
#endif  // SLUICE_IPC_X_H_
"""


def rules(text, path="ipc/x.h"):
    return [(line, rule) for line, rule, _ in lint.check_file(path, text, MAY_USE)]


class PlantedViolations(unittest.TestCase):
    def expect(self, old, new, line, rule, path="ipc/x.h"):
        self.assertIn(old, GOOD)
        self.assertEqual(rules(GOOD.replace(old, new), path), [(line, rule)])

    def test_good_header_passes(self):
        self.assertEqual(rules(GOOD), [])

    def test_include_without_prefix(self):
        self.expect('"sluice/ipc/y.h"', '"ipc/y.h"', 5, "prefix")
        self.expect('"sluice/ipc/y.h"', '"y.h"', 5, "prefix")
        self.expect('#include "sluice/ipc/y.h"', '  #  include "y.h"', 5, "prefix")

    def test_own_header_in_angle_brackets(self):
        self.expect('"sluice/ipc/y.h"', "<sluice/ipc/y.h>", 5, "prefix")

    def test_include_that_points_up(self):
        self.expect("sluice/ipc/y.h", "sluice/pool/y.h", 5, "layer")
        self.expect("sluice/ipc/y.h", "sluice/testkit/y.h", 5, "layer")
        up = '#include "sluice/ipc/y.h"\n'
        self.assertEqual(rules(up, "sync/a.cc"), [(1, "layer")])
        self.assertEqual(rules(up, "tests/ipc/a.cc"), [])

    def test_folder_within_one_that_may_use_more(self):
        far = '#include "sluice/pool/y.h"\n#include "sluice/ipc/y.h"\n'
        self.assertEqual(rules(far, "ipc/far/a.cc"), [])
        self.assertEqual(rules(far, "ipc/near/a.cc"), [(1, "layer")])

    def test_source_that_does_not_begin_with_its_header(self):
        def found(text, path="ipc/x.cc"):
            return [(line, rule) for line, rule, _ in
                    lint.check_file(path, text, MAY_USE, ["ipc/x.h", "ipc/x.cc", "ipc/main.cc"])]

        own = '#include "sluice/ipc/x.h"\n'
        self.assertEqual(found("\n" + own + "#include <atomic>\n"), [])
        self.assertEqual(found("#include <atomic>\n" + own), [(1, "own")])
        self.assertEqual(found("int x;\n"), [(1, "own")])
        self.assertEqual(found("int x;\n", "ipc/main.cc"), [])

    def test_missing_guard(self):
        body = GOOD.split("\n", 3)[3].replace("#endif  // SLUICE_IPC_X_H_\n", "")
        self.assertEqual(rules(body), [(1, "guard")])
        self.assertEqual(rules("#pragma once\n" + body), [(1, "guard")])
        self.assertEqual(rules(""), [(1, "guard")])
        self.assertEqual(rules(body, "ipc/x.cc"), [])

    def test_misnamed_guard(self):
        self.expect("SLUICE_IPC_X_H_", "SLUICE_X_H_", 2, "guard")
        self.expect("#define SLUICE_IPC_X_H_", "#define SLUICE_IPC_Y_H_", 2, "guard")
        self.assertEqual(rules(GOOD, "ipc/z.h"), [(2, "guard")])

    def test_code_outside_of_the_guards(self):
        self.expect("#ifndef", "int before;\n#ifndef", 2, "guard")
        self.assertEqual(rules(GOOD + "int after;\n"), [(2, "guard")])

    def test_order_without_reason(self):
        reason = "// Release: pairs with the acquire in y.h; the payload was written before."
        self.expect(reason, "", 9, "order")
        self.expect(reason, "// NOLINT", 9, "order")
        self.expect(reason, "//", 9, "order")
        self.expect(reason, 'auto s = "// Release: not a comment";', 9, "order")
        self.expect(reason, reason + "\n\n\n", 12, "order")

    def test_every_spelling_of_an_order(self):
        for order in ("std::memory_order::acquire", "memory_order_relaxed", "kRelaxed", "kAcquire",
                      "kRelease", "kAcqRel", "kSeqCst"):
            self.assertEqual(rules(f"\nload({order});\n", "ipc/x.cc"), [(2, "order")], order)
            self.assertEqual(rules(f"load({order});  // pairs with f()\n", "ipc/x.cc"), [], order)
            above = f"/* pairs with f(),\n and with push() */\n\n\nload({order});"
            self.assertEqual(rules(above, "ipc/x.cc"), [], order)

    def test_what_only_looks_like_one(self):
        for text in ("// memory_order_relaxed would do here too", '"memory_order_relaxed";',
                     "void f(std::memory_order order);", "/*\n#include \"x.h\"\n*/",
                     'R"(\n#include "x.h"\nmemory_order_relaxed)";'):
            self.assertEqual(rules(text, "ipc/x.cc"), [], text)


class WholeTree(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name)
        self.write("bazel/layers.bzl", '"""Doc."""\nMAY_USE = {"sync": [], "ipc": ["sync"], "ipc/far": ["ipc", "sync", "pool"]}\n')
        self.write(".bazelignore", "other/workspace\n")
        self.write("ipc/x.h", GOOD)

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def run_lint(self, *arguments):
        return lint.main([*arguments, str(self.root / ".bazelignore")])

    def test_exit_status(self):
        self.assertEqual(self.run_lint(), 0)
        self.write("sync/a.cc", '#include "a.h"\n')
        self.assertEqual(self.run_lint(), 1)

    def test_other_workspaces_and_output_are_left_alone(self):
        self.write("other/workspace/ipc/x.h", "int x;\n")
        self.write("bazel-out/ipc/x.h", "int x;\n")
        self.assertEqual(self.run_lint(), 0)

    def test_empty_tree_is_no_success(self):
        (self.root / "ipc/x.h").unlink()
        self.assertEqual(self.run_lint(), 1)

    def test_header_that_nothing_compiles(self):
        manifest = self.root / "manifest.txt"
        manifest.write_text("ipc/x.h\n")
        self.assertEqual(self.run_lint("--compiled", str(manifest)), 0)
        manifest.write_text("ipc/y.h\n")
        self.assertEqual(self.run_lint("--compiled", str(manifest)), 1)


if __name__ == "__main__":
    unittest.main()
