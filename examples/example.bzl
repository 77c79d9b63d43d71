# SPDX-License-Identifier: Apache-2.0
"""A program that shows one thing, and the test that compares what it prints."""

load("//bazel:sluice.bzl", "sluice_binary")

def sluice_example(name, deps, args = [], through = None):
    """NAME.cc as a program, and NAME_test, which runs it.

    Args:
      name: the program's name; NAME.txt says what it prints (expect.sh).
      deps: a plain list of labels.
      args: what it is given in its test.
      through: a script that starts the program, which is its first argument.
    """
    sluice_binary(
        name = name,
        srcs = [name + ".cc"],
        deps = deps,
    )
    sluice_example_test(
        name = name + "_test",
        args = args,
        program = name,
        through = through,
    )

def sluice_example_test(name, program, args = [], expected = None, through = None):
    """One more run of an example.

    Args:
      name: the test's name.
      program: the name of the example.
      args: what it is given.
      expected: the file with what it prints; PROGRAM.txt, if not named.
      through: as above.
    """
    expected = expected or program + ".txt"
    files = [expected] + ([through] if through else []) + [":" + program]
    native.sh_test(
        name = name,
        size = "small",
        srcs = ["//examples:expect.sh"],
        args = ["$(location %s)" % file for file in files] + args,
        data = files,
    )
