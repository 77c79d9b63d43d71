# SPDX-License-Identifier: Apache-2.0
"""How sluice declares its targets: include prefix, layers, tests that name where they can't run."""

load(":layers.bzl", "MAY_USE")

# The configurations that a test may be left out of.
_CONFIGURATIONS = ["asan", "ubsan", "tsan"]

def _folder(package):
    return package.split("/")[0]

def _folder_of(label):
    """The top-level folder of a dependency of this workspace, or None for an external repository's."""
    if label.startswith("@sluice//"):
        label = label[len("@sluice"):]
    if label.startswith("@"):
        return None
    if not label.startswith("//"):
        return _folder(native.package_name())
    return _folder(label[2:].split(":")[0])

def _check_layer(name, deps):
    here = _folder(native.package_name())
    if here not in MAY_USE:
        return
    if type(deps) != "list":
        fail("//%s:%s: deps of a layered library must be a plain list, so that its layers can be checked" %
             (native.package_name(), name))
    for dep in deps:
        folder = _folder_of(dep)
        if folder != None and folder != here and folder not in MAY_USE[here]:
            fail("//%s:%s depends on %s, but a library in %s/ may use only: %s" % (
                native.package_name(),
                name,
                dep,
                here,
                ", ".join([here] + MAY_USE[here] + ["other people's libraries"]),
            ))

def sluice_library(name, hdrs = [], deps = [], **kwargs):
    """A cc_library whose headers are included as "sluice/<package>/<header>", and whose deps point down.

    One public header is one target, named as the header. Headers in srcs would not get the prefix: an
    internal header is a target of its own with narrow visibility.

    Args:
      name: the target's name.
      hdrs: its headers.
      deps: a plain list of labels.
      **kwargs: what cc_library takes.
    """
    _check_layer(name, deps)
    for src in kwargs.get("srcs", []):
        if src.endswith(".h"):
            fail("//%s:%s: %s in srcs would not be reachable as sluice/...: give it a target of its own" %
                 (native.package_name(), name, src))
    native.cc_library(
        name = name,
        hdrs = hdrs,
        include_prefix = "sluice/" + native.package_name(),
        deps = deps,
        **kwargs
    )

def _compatible_outside(name, not_in):
    for configuration, reason in not_in.items():
        if configuration not in _CONFIGURATIONS:
            fail("//%s:%s: not_in names %s, which is none of: %s" %
                 (native.package_name(), name, configuration, ", ".join(_CONFIGURATIONS)))
        if not reason:
            fail("//%s:%s: not_in gives no reason for %s" % (native.package_name(), name, configuration))
    branches = {"//:" + configuration: ["//bazel:nowhere"] for configuration in not_in}
    branches["//conditions:default"] = []
    return select(branches)

def sluice_test(name, deps = [], not_in = {}, **kwargs):
    """A GoogleTest test with sluice's main: a domain of its own, and a look for leftovers after each TEST.

    Args:
      name: the target's name.
      deps: what it tests; GoogleTest and the main are added.
      not_in: configuration (asan, ubsan, tsan) to the reason why the test can't run in it. The target is then
        incompatible with it: Bazel says SKIPPED and counts it.
      **kwargs: what cc_test takes.
    """
    native.cc_test(
        name = name,
        deps = deps + ["//tests/support:main", "@googletest//:gtest"],
        target_compatible_with = _compatible_outside(name, not_in),
        **kwargs
    )

def sluice_binary(name, **kwargs):
    """A cc_binary of ours.

    Args:
      name: the target's name.
      **kwargs: what cc_binary takes.
    """
    native.cc_binary(name = name, **kwargs)
