#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds and runs this workspace, and compares what each target of sluice's pulls in with expected_deps/: the file
# expected_deps/ipc/pipe.txt lists the libraries that @sluice//ipc:pipe depends on.
set -eu
cd "$(dirname "$0")"
bazelw=../../bazelw
actual=$(mktemp)
# This workspace has a Bazel server of its own: not left running.
trap 'rm -f "$actual"; $bazelw shutdown' EXIT

$bazelw test "$@" //...

failed=0
for expected in $(find expected_deps -name '*.txt' | sort); do
  package=$(dirname "${expected#expected_deps/}")
  target=@sluice//$package:$(basename "$expected" .txt)
  $bazelw query --noshow_progress --noimplicit_deps --notool_deps "kind(rule, deps($target))" |
    LC_ALL=C sort > "$actual"
  if diff -u --label "$expected" --label "deps($target)" "$expected" "$actual"; then
    echo "$target pulls in what it should, and nothing else"
  else
    failed=1
  fi
done
exit $failed
