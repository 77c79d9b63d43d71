#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# by_hand.sh [CXX...]: from the top of the tree, the same checks with each compiler (g++ unless
# others are given). No Bazel.
set -euo pipefail
compilers=("$@")
[ $# -gt 0 ] || compilers=(g++)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
ln -s "$PWD" "$out/sluice"
here=tests/ipc/refused_by_compiler
for compiler in "${compilers[@]}"; do
  for source in "$here"/*.refused; do
    if "$compiler" -std=c++20 -xc++ -fsyntax-only -I"$out" "$source" >"$out/said" 2>&1; then
      echo "$source: $compiler takes it"
      exit 1
    fi
    "$here/check.sh" "$source" "$out/said"
  done
  echo "$compiler: all refused, with the right words"
done
