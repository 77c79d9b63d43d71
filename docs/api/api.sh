#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# ./bazelw run //docs/api [-- DIRECTORY]: the API reference, as HTML, made from the headers. Into
# .cache/api unless told; a warning is a failure.
set -eu
out=$(cd "${BUILD_WORKING_DIRECTORY-.}" && readlink -f "${1-$BUILD_WORKSPACE_DIRECTORY/.cache/api}")
cd "$BUILD_WORKSPACE_DIRECTORY"
mkdir -p "$out"
{ cat docs/api/Doxyfile; printf 'OUTPUT_DIRECTORY = "%s"\n' "$out"; } | doxygen -
echo "$out/html/index.html"
