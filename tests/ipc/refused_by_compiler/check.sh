#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# check.sh SOURCE OUTPUT: whether what the compiler said of the source has each of the texts that
# the source's lines `// expect: ...` announce.
set -euo pipefail
source=$1
output=$2
expected=0
while IFS= read -r text; do
  expected=$((expected + 1))
  if ! grep -qF -- "$text" "$output"; then
    echo "$source: the compiler does not say: $text"
    head -40 "$output"
    exit 1
  fi
done < <(sed -n 's|^// expect: ||p' "$source")
[ "$expected" -gt 0 ] || { echo "$source announces nothing"; exit 1; }
