#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# instructions.sh PROGRAM GOLDEN [--print]: how many instructions a call takes, as callgrind counts
# them, compared with the golden figures: 5 % more is a failure, 5 % less asks for new figures.
# --print writes those. They hold for one compiler, which GOLDEN names; with another, and where there
# is no valgrind, this says SKIPPED. With SLUICE_SKIP_NOTHING set that is a failure.
set -euo pipefail
program=$1 golden=$2 mode=${3-}

skip() {
  echo "SKIPPED: $1"
  [ -z "${SLUICE_SKIP_NOTHING-}" ] || exit 1
  exit 0
}

command -v valgrind > /dev/null || skip "valgrind is not installed"
compiler=$(strings -a "$program" | sed -n 's/^GCC: .* \([0-9.]*\)$/gcc \1/p' | sort -u | head -n 1)
wanted=$(sed -n 's/^# compiler: //p' "$golden")
[ "$mode" = --print ] || [ "$compiler" = "$wanted" ] ||
  skip "the figures are those of $wanted, and this is ${compiler:-another compiler}"

# Instructions of one call, to a tenth.
count() {
  local collected
  collected=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no \
    '--toggle-collect=*counted<*' "$program" "$1" 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p')
  awk -v n="$collected" 'BEGIN { printf "%.1f", n / 1000 }'
}

if [ "$mode" = --print ]; then
  echo "# Instructions per call, by callgrind: ./bazelw run //tests/instructions:print > $(basename "$golden")"
  echo "# compiler: $compiler"
fi
bad=0
for name in $("$program"); do
  now=$(count "$name")
  if [ "$mode" = --print ]; then
    echo "$name $now"
    continue
  fi
  then=$(awk -v name="$name" '$1 == name { print $2 }' "$golden")
  verdict=$(awk -v now="$now" -v then="${then:-0}" 'BEGIN {
    if (now <= 0) print "was not counted"
    else if (then <= 0) print "has no golden figure"
    else if (now > 1.05 * then) print "is slower"
    else if (now < 0.95 * then) print "is faster: put the new figure into the file"
  }')
  printf '%-34s %7s, was %7s %s\n' "$name" "$now" "${then:-none}" "$verdict"
  [ -z "$verdict" ] || bad=1
done
exit $bad
