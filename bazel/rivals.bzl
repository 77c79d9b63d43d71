# SPDX-License-Identifier: Apache-2.0
"""Libraries that only the comparison (//bench:compare) looks at, each if it is there.

A target of one that is missing is empty and does not define its name, and the benchmark says
SKIPPED: so that building everything needs none of them. `./bazelw run //bench:compare` installs them
(bazel/packages.txt, "rivals").
"""

# name: what to look for, what to link, and what is defined where it is found.
_RIVALS = {
    "atomic_queue": struct(
        header = "atomic_queue/atomic_queue.h",
        # It depends on another Boost than ours, for its tests; its headers alone are enough.
        unpacked = "libatomic-queue-dev",
    ),
    "iceoryx": struct(
        header = "iceoryx_posh/popo/publisher.hpp",
        versions_under = "/usr/include/iceoryx",
        links = ["-liceoryx_posh", "-liceoryx_hoofs", "-liceoryx_platform"],
    ),
    "nng": struct(header = "nng/nng.h", links = ["-lnng"]),
    "readerwriterqueue": struct(header = "readerwriterqueue/readerwriterqueue.h"),
    "zeromq": struct(header = "zmq.h", links = ["-lzmq"]),
}

_HEAD = 'package(default_visibility = ["//visibility:public"])\n\n'

def _library(name, attributes):
    return _HEAD + "cc_library(\n    name = \"%s\",\n%s)\n" % (name, attributes)

def _rival_impl(ctx):
    name = ctx.name
    defines = '    defines = ["SLUICE_BENCH_HAS_%s"],\n' % name.upper()
    if ctx.path("/usr/include/" + ctx.attr.header).exists:
        ctx.file("BUILD", _library(name, defines + "    linkopts = %s,\n" % ctx.attr.links))
        return
    versions = ctx.path(ctx.attr.versions_under) if ctx.attr.versions_under else None
    if versions and versions.exists:
        ctx.symlink(versions.readdir()[-1], "include")
        include = '    hdrs = glob(["include/**"]),\n    includes = ["include"],\n'
        ctx.file("BUILD", _library(name, defines + include + "    linkopts = %s,\n" % ctx.attr.links))
        return
    if ctx.attr.unpacked:
        command = "apt-get download %s && dpkg -x %s_*.deb ." % (ctx.attr.unpacked, ctx.attr.unpacked)
        ctx.execute(["sh", "-c", command])
        if ctx.path("usr/include/" + ctx.attr.header).exists:
            include = '    hdrs = glob(["usr/include/**"]),\n    includes = ["usr/include"],\n'
            ctx.file("BUILD", _library(name, defines + include))
            return
    ctx.file("BUILD", _library(name, ""))

_rival = repository_rule(
    implementation = _rival_impl,
    attrs = {
        "header": attr.string(mandatory = True),
        "links": attr.string_list(),
        # A directory with a directory of headers for each version, which no compiler looks into.
        "versions_under": attr.string(),
        # A package that is not installed, but taken apart for its headers.
        "unpacked": attr.string(),
    },
    local = True,
)

def bench_rivals():
    """Declares the libraries that sluice's own benchmarks compare it with, where they are there."""
    for name, rival in _RIVALS.items():
        _rival(
            name = name,
            header = rival.header,
            links = getattr(rival, "links", []),
            unpacked = getattr(rival, "unpacked", ""),
            versions_under = getattr(rival, "versions_under", ""),
        )
