# SPDX-License-Identifier: Apache-2.0
"""The libraries of other people that sluice's optional targets, tests and benchmarks use.

Repositories and targets are named as the Bazel Central Registry names them, so that the same BUILD
files serve WORKSPACE and MODULE.bazel. Here each is the system's library: its headers lie where the
compiler looks anyway, so a target carries link options and nothing else, and no action's sandbox
holds thousands of headers. A repository that the caller declared earlier stays as it is. Each is
looked at only when a target needs it: who depends on @sluice//ipc:pipe needs none.
"""

# name: what to look for, the Debian package that has it, and the targets with what they link.
_LIBRARIES = {
    "boost.interprocess": struct(
        header = "boost/interprocess/interprocess_fwd.hpp",
        package = "libboost1.81-dev",
        targets = {"boost.interprocess": []},
    ),
    "boost.lockfree": struct(
        header = "boost/lockfree/spsc_queue.hpp",
        package = "libboost1.81-dev",
        targets = {"boost.lockfree": []},
    ),
    "cereal": struct(
        header = "cereal/cereal.hpp",
        package = "libcereal-dev",
        targets = {"cereal": []},
    ),
    "cli11": struct(
        header = "CLI/CLI.hpp",
        package = "libcli11-dev",
        targets = {"cli11": []},
    ),
    "concurrentqueue": struct(
        header = "concurrentqueue/concurrentqueue.h",
        package = "libconcurrentqueue-dev",
        targets = {"concurrentqueue": []},
    ),
    "google_benchmark": struct(
        header = "benchmark/benchmark.h",
        package = "libbenchmark-dev",
        targets = {
            "benchmark": ["-lbenchmark", "-lpthread"],
            "benchmark_main": ["-lbenchmark_main", "-lbenchmark", "-lpthread"],
        },
    ),
    "googletest": struct(
        header = "gmock/gmock.h",
        package = "libgmock-dev",
        targets = {
            "gtest": ["-lgmock", "-lgtest", "-lpthread"],
            "gtest_main": ["-lgtest_main", "-lgmock", "-lgtest", "-lpthread"],
        },
    ),
    "rapidcheck": struct(
        header = "rapidcheck.h",
        package = "librapidcheck-dev",
        targets = {
            "rapidcheck": ["-lrapidcheck"],
            "rapidcheck_gtest": ["-lrapidcheck"],
        },
    ),
}

_INCLUDE_DIRECTORIES = ["/usr/include", "/usr/local/include"]

def _system_library_impl(ctx):
    found = [d for d in _INCLUDE_DIRECTORIES if ctx.path(d + "/" + ctx.attr.header).exists]
    if not found:
        fail(("\n\n@%s is the system's library, and there is no <%s> in %s.\n" +
              "On Debian 12: apt-get install %s   (sluice's ./bazelw installs all it needs)\n") %
             (ctx.name, ctx.attr.header, " or ".join(_INCLUDE_DIRECTORIES), ctx.attr.package))
    lines = ['package(default_visibility = ["//visibility:public"])']
    for target, linkopts in ctx.attr.targets.items():
        lines.append('\ncc_library(\n    name = "%s",\n    linkopts = %s,\n)' % (target, linkopts))
    ctx.file("BUILD", "\n".join(lines) + "\n")

_system_library = repository_rule(
    implementation = _system_library_impl,
    attrs = {
        "header": attr.string(mandatory = True),
        "package": attr.string(mandatory = True),
        "targets": attr.string_list_dict(mandatory = True),
    },
    local = True,
)

def sluice_dependencies():
    """Declares what sluice's targets may need, except what the calling WORKSPACE has already."""
    for name, library in _LIBRARIES.items():
        if not native.existing_rule(name):
            _system_library(
                name = name,
                header = library.header,
                package = library.package,
                targets = library.targets,
            )
