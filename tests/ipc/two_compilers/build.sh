#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# build.sh CXX LEVEL OUT: from the top of the tree, builds party.cc, and all of the library that it
# needs, with one compiler. Where there is no such compiler, OUT says so when it is run.
set -euo pipefail
compiler=$1
level=$2
out=$3
if ! command -v "$compiler" > /dev/null; then
  printf '#!/bin/sh\necho none\n' > "$out"
  chmod +x "$out"
  exit
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ln -s "$PWD" "$work/sluice"
export compiler level work
compile() {
  "$compiler" -std=c++20 "$level" -I"$work" -c "$1" -o "$work/${1//\//_}.o"
}
export -f compile
# What the program includes, what that includes, and the source beside each header.
files=(tests/ipc/two_compilers/party.cc)
for ((i = 0; i < ${#files[@]}; ++i)); do
  for header in $(sed -n 's|^#include "sluice/\(.*\)"|\1|p' "${files[i]}"); do
    for file in "$header" "${header%.h}.cc"; do
      [ ! -e "$file" ] || [[ " ${files[*]} " = *" $file "* ]] || files+=("$file")
    done
  done
done
printf '%s\n' "${files[@]}" | grep '\.cc$' | xargs -P "$(nproc)" -I{} bash -c 'compile "$1"' - {}
"$compiler" "$work"/*.o -o "$out" -lpthread
