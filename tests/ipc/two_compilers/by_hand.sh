#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# by_hand.sh [CXX...]: from the top of the tree, builds party.cc with each compiler (g++ and clang++
# unless others are given), unoptimised and optimised, and lets each build meet the first. No Bazel.
set -euo pipefail
compilers=("$@")
[ $# -gt 0 ] || compilers=(g++ clang++)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
here=tests/ipc/two_compilers
builds=()
for compiler in "${compilers[@]}"; do
  for level in -O0 -O2; do
    party=$out/party-$(basename "$compiler")$level
    echo "$compiler $level"
    "$here/build.sh" "$compiler" "$level" "$party"
    builds+=("$party")
  done
done
for party in "${builds[@]}"; do
  "$here/meet.sh" "${builds[0]}" "$party"
done
