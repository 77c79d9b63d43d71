#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# meet.sh PARTY OTHER: lets two builds of party.cc meet, each as the host of the other. If OTHER's
# compiler was missing when it was built, PARTY meets itself, and this says so; with
# SLUICE_SKIP_NOTHING set that is a failure.
set -euo pipefail
if [ "$("$2" which)" = none ]; then
  echo "SKIPPED: clang++-19 was not there when $2 was built (by now it is? ./bazelw clean)"
  [ -z "${SLUICE_SKIP_NOTHING-}" ] || exit 1
  set -- "$1" "$1"
fi
unique=$(mktemp -u)
# Not the process's number, which is the same in many sandboxes, while /dev/shm is one.
SLUICE_DOMAIN=two-compilers-${unique##*.}
export SLUICE_DOMAIN
directory=/dev/shm/sluice-$(id -u)-$SLUICE_DOMAIN
trap 'rm -rf "$directory"' EXIT

meet() {
  exec 3< <(timeout 60 "$1" serve || echo "the host failed")
  read -r ready <&3
  [ "$ready" = ready ] || { echo "$1: $ready"; exit 1; }
  code=0
  "$2" visit || code=$?
  [ $code -eq 137 ] || { echo "the visitor ended with $code"; exit 1; }
  read -r served <&3
  echo "$served"
  [[ $served = *served ]] || exit 1
}

meet "$1" "$2"
meet "$2" "$1"
for object in "$directory"/obj-*; do
  [ ! -e "$object" ] || { echo "left behind: $object"; exit 1; }
done
echo "they understand each other"
