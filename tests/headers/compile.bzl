# SPDX-License-Identifier: Apache-2.0
"""header_compile_test: compiles each header of a set of libraries alone, and twice in one file.

The Bazel of Debian 12 has no working parse_headers. Building the test compiles; running it prints
the list. A header with a source beside it is left to that: lint.py holds the source to including it
first, and the header to its guard.
"""

_Headers = provider(fields = {
    "objects": "depset of the object files that the compilations left",
    "headers": "depset of the headers compiled",
})

def _compile_twice(target, ctx, header):
    toolchain = ctx.attr._cc_toolchain[cc_common.CcToolchainInfo]
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    name = header.basename + ".twice"
    source = ctx.actions.declare_file("_headers/%s/%s.cc" % (target.label.name, name))
    ctx.actions.write(source, 2 * ('#include "sluice/%s"\n' % header.short_path))
    _, outputs = cc_common.compile(
        name = "%s_%s" % (target.label.name, name),
        actions = ctx.actions,
        feature_configuration = features,
        cc_toolchain = toolchain,
        srcs = [source],
        compilation_contexts = [target[CcInfo].compilation_context],
        user_compile_flags = ["-O0", "-g0"],
    )
    return outputs.pic_objects + outputs.objects

def _headers_aspect_impl(target, ctx):
    headers = []
    objects = []
    if ctx.rule.kind == "cc_library" and not target.label.workspace_name:
        headers = ctx.rule.files.hdrs
        sources = [source.short_path for source in ctx.rule.files.srcs]
        for header in headers:
            if header.short_path[:-len(".h")] + ".cc" not in sources:
                objects += _compile_twice(target, ctx, header)
    below = [dep[_Headers] for dep in getattr(ctx.rule.attr, "deps", []) if _Headers in dep]
    return [_Headers(
        headers = depset(headers, transitive = [b.headers for b in below]),
        objects = depset(objects, transitive = [b.objects for b in below]),
    )]

_headers_aspect = aspect(
    implementation = _headers_aspect_impl,
    attr_aspects = ["deps"],
    attrs = {"_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain")},
    fragments = ["cpp"],
)

def _header_compile_test_impl(ctx):
    headers = depset(transitive = [dep[_Headers].headers for dep in ctx.attr.deps])
    objects = depset(transitive = [dep[_Headers].objects for dep in ctx.attr.deps])
    names = sorted([header.short_path for header in headers.to_list()])
    manifest = ctx.outputs.manifest
    ctx.actions.write(manifest, "".join([name + "\n" for name in names]))
    script = ctx.actions.declare_file(ctx.label.name + ".sh")
    ctx.actions.write(
        script,
        "#!/bin/sh\necho compiled alone:\nexec cat '%s'\n" % manifest.short_path,
        is_executable = True,
    )
    return [DefaultInfo(
        executable = script,
        runfiles = ctx.runfiles([manifest], transitive_files = objects),
    )]

header_compile_test = rule(
    implementation = _header_compile_test_impl,
    attrs = {"deps": attr.label_list(aspects = [_headers_aspect], providers = [CcInfo])},
    outputs = {"manifest": "%{name}.txt"},
    test = True,
)
