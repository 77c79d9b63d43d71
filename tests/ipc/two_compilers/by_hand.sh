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
ln -s "$PWD" "$out/sluice"
here=tests/ipc/two_compilers
sources=("$here/party.cc" ipc/allocate.cc ipc/pipe.cc ipc/segment.cc ipc/segment_options.cc ipc/stamp.cc sync/*.cc)
builds=()
for compiler in "${compilers[@]}"; do
  for level in -O0 -O2; do
    party=$out/party-$(basename "$compiler")$level
    echo "$compiler $level"
    "$compiler" -std=c++20 $level -I"$out" "${sources[@]}" -o "$party" -lpthread
    builds+=("$party")
  done
done
for party in "${builds[@]}"; do
  "$here/meet.sh" "${builds[0]}" "$party"
done
