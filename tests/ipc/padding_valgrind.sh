#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# padding_valgrind.sh PADDING_TEST: no byte that was never written goes to shared memory. Where there
# is no valgrind this says so; with SLUICE_SKIP_NOTHING set that is a failure.
set -euo pipefail
if ! command -v valgrind > /dev/null; then
  echo "SKIPPED: valgrind is not installed"
  [ -z "${SLUICE_SKIP_NOTHING-}" ] || exit 1
  exit
fi
exec valgrind --quiet --num-callers=6 --error-exitcode=9 "$1"
