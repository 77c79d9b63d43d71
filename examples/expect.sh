#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# expect.sh EXPECTED COMMAND...: runs the command in a domain of its own and checks that it succeeds, that each line of
# its output matches the same line of EXPECTED, an extended regular expression, and that it leaves no named object.
set -eu
expected=$1
shift
output=$(mktemp)
# Not the process's number, which is the same in many sandboxes, while /dev/shm is one.
SLUICE_DOMAIN=example-${output##*.}
export SLUICE_DOMAIN
directory=/dev/shm/sluice-$(id -u)-$SLUICE_DOMAIN
trap 'rm -rf "$output" "$directory"' EXIT

"$@" > "$output" || { cat "$output"; echo "$* failed"; exit 1; }
cat "$output"
for object in "$directory"/obj-*; do
  [ ! -e "$object" ] || { echo "left behind: $object"; exit 1; }
done
while read -r actual <&3; do
  read -r pattern <&4 || { echo "not expected: $actual"; exit 1; }
  printf '%s\n' "$actual" | grep -qxE -e "$pattern" || { echo "expected: $pattern"; exit 1; }
done 3< "$output" 4< "$expected"
[ "$(wc -l < "$output")" -eq "$(wc -l < "$expected")" ] || { echo "lines are missing"; exit 1; }
