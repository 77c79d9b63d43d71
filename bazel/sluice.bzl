# SPDX-License-Identifier: Apache-2.0
"""How sluice declares its targets: include prefix, layers, tests that say where they can't run."""

load(":layers.bzl", "MAY_USE")

# The configurations that a test may be left out of.
_CONFIGURATIONS = ["asan", "ubsan", "tsan"]

def _folder(package):
    return package.split("/")[0]

def _folder_of(label):
    """The top-level folder that a dependency lies in, or None if it is another repository's."""
    if label.startswith("@sluice//"):
        label = label[len("@sluice"):]
    if label.startswith("@"):
        return None
    if not label.startswith("//"):
        return _folder(native.package_name())
    return _folder(label[2:].split(":")[0])

def _refuse(name, why):
    fail("//%s:%s: %s" % (native.package_name(), name, why))

def _check_layer(name, deps):
    here = native.package_name()
    if here not in MAY_USE:
        here = _folder(here)
    if here not in MAY_USE:
        return
    if type(deps) != "list":
        _refuse(name, "deps must be a plain list here, so that its layers can be checked")
    for dep in deps:
        folder = _folder_of(dep)
        if folder != None and folder != here and folder not in MAY_USE[here]:
            _refuse(name, "depends on %s, but of this tree a library in %s/ may use only: %s" % (
                dep,
                here,
                ", ".join([here] + MAY_USE[here]),
            ))

def sluice_library(name, hdrs = [], srcs = [], deps = [], **kwargs):
    """A cc_library whose headers are "sluice/<package>/<header>", and whose deps point down.

    One public header is one target, named as the header. An internal header is a target of its own
    with narrow visibility.

    Args:
      name: the target's name.
      hdrs: its headers.
      srcs: its sources; no headers, since they would not get the prefix.
      deps: a plain list of labels.
      **kwargs: what else cc_library takes.
    """
    _check_layer(name, deps)
    for src in srcs:
        if src.endswith(".h"):
            _refuse(name, "%s in srcs can't be included as sluice/...: it needs a target" % src)
    native.cc_library(
        name = name,
        hdrs = hdrs,
        srcs = srcs,
        deps = deps,
        include_prefix = "sluice/" + native.package_name(),
        **kwargs
    )

def _incompatible_with(name, not_in):
    for configuration, reason in not_in.items():
        if configuration not in _CONFIGURATIONS:
            _refuse(name, "not_in knows only: " + ", ".join(_CONFIGURATIONS))
        if not reason:
            _refuse(name, "not_in gives no reason for " + configuration)
    branches = {"//:" + configuration: ["//bazel:nowhere"] for configuration in not_in}
    branches["//conditions:default"] = []
    return select(branches)

def sluice_test(name, deps = [], not_in = {}, copts = [], **kwargs):
    """A GoogleTest test in a domain of its own, which looks for leftovers after each TEST.

    Args:
      name: the target's name.
      deps: what it tests; GoogleTest and our main are added.
      not_in: configuration (asan, ubsan, tsan) to the reason why the test can't run in it. There
        Bazel says SKIPPED, and counts it.
      copts: options of its own sources.
      **kwargs: what else cc_test takes.
    """
    native.cc_test(
        name = name,
        # Line numbers, and no more: describing GoogleTest's types takes a third of the time.
        copts = ["-g1"] + copts,
        deps = deps + ["//tests/support:main", "@googletest//:gtest"],
        target_compatible_with = _incompatible_with(name, not_in),
        **kwargs
    )

def sluice_binary(name, **kwargs):
    """A cc_binary.

    Args:
      name: the target's name.
      **kwargs: what else cc_binary takes.
    """
    native.cc_binary(name = name, **kwargs)
