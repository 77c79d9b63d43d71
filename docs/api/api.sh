#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# ./bazelw run //docs/api [-- DIRECTORY]: the API reference, as HTML, made from the headers. Into
# .cache/api unless told; a warning is a failure.
set -eu
cd "${BUILD_WORKING_DIRECTORY-.}"
out=${1-$BUILD_WORKSPACE_DIRECTORY/.cache/api}
mkdir -p "$out"
out=$(readlink -f "$out")
cd "$BUILD_WORKSPACE_DIRECTORY"
{ cat docs/api/Doxyfile; printf 'OUTPUT_DIRECTORY = "%s"\n' "$out"; } | doxygen -
echo "$out/html/index.html"
