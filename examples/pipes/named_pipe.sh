#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# named_pipe.sh NAMED_PIPE: runs both sides, the sender as soon as the receiver is there.
set -eu
"$1" receive | {
  read -r waiting
  echo "$waiting"
  "$1" send hello world
  cat
}
