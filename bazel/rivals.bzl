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
        links = [],
    ),
    "nng": struct(header = "nng/nng.h", unpacked = "", links = ["-lnng"]),
    "readerwriterqueue": struct(
        header = "readerwriterqueue/readerwriterqueue.h",
        unpacked = "",
        links = [],
    ),
    "zeromq": struct(header = "zmq.h", unpacked = "", links = ["-lzmq"]),
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
        "unpacked": attr.string(),
    },
    local = True,
)

def bench_rivals():
    """Declares the libraries that sluice's own benchmarks compare it with, where they are there."""
    for name, rival in _RIVALS.items():
        _rival(name = name, header = rival.header, links = rival.links, unpacked = rival.unpacked)
