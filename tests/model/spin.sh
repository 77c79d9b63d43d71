#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Explores all states of a SPIN model, once for each line of a list of cases:
#   holds [-DNAME=VALUE ...]     no error may be found
#   fails [-DNAME=VALUE ...]     a mutant: an error must be found
#
# Usage: spin.sh MODEL CASES
set -euo pipefail

model=$(realpath "$1")
cases=$(realpath "$2")
for tool in spin gcc; do
  command -v "$tool" > /dev/null || { echo "$tool is missing: see bazel/packages.txt" >&2; exit 1; }
done
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/spin.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
cp "$model" model.pml

wrong=0
ran=0
while read -r verdict defines; do
  case $verdict in
    '' | '#'*) continue ;;
    holds | fails) ;;
    *) echo "$cases: neither holds nor fails: $verdict" >&2; exit 1 ;;
  esac
  ran=$((ran + 1))
  # shellcheck disable=SC2086  # several defines
  spin $defines -a model.pml > spin.out || { cat spin.out >&2; exit 1; }
  gcc -O1 -w -DSAFETY -DCOLLAPSE -DMEMLIM=4096 -o pan pan.c
  ./pan -m1000000 > pan.out 2>&1 || true
  states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.out)
  # "errors: 0" without "Search not completed" and without a depth limit that was met.
  if grep -q 'errors: 0' pan.out && ! grep -qE 'not completed|max search depth too small' pan.out; then
    found=holds
  elif grep -qE 'errors: [1-9]' pan.out; then
    found=fails
  else
    found=unfinished
  fi
  echo "$(basename "$model") ${defines:-as it is}: $found, $states states"
  if [ "$found" != "$verdict" ]; then
    echo "  expected: $verdict" >&2
    grep -E '^pan|error|timeout' pan.out >&2 || true
    if [ -f model.pml.trail ]; then
      # shellcheck disable=SC2086
      spin $defines -t -p -g model.pml 2>&1 | tail -60 >&2
    fi
    wrong=$((wrong + 1))
  fi
  rm -f model.pml.trail
done < "$cases"
[ "$ran" -gt 0 ] || { echo "$cases: no case" >&2; exit 1; }
exit $((wrong != 0))
