#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# compare_cases.sh COMPARE: the comparison has each case by the name that others know it by, and
# sluice in it.
set -euo pipefail
listed=$("$1" --benchmark_list_tests 2> /dev/null)
missing=0

# expect SUBJECT CASE...
expect() {
  local subject=$1 name
  shift
  for name in "$@"; do
    if ! grep -q "^$name/$subject\(/\|$\)" <<< "$listed"; then
      echo "missing: $name/$subject"
      missing=1
    fi
  done
}

expect sluice spsc/oneway/{8,64,256,1024,4096,65536} spsc/batch64/8 spsc/rtt/{8,64,1024}
expect sluice pipe/oneway/{8,64,256,1024,4096,65536} pipe/oneway_zero_copy/65536
expect sluice pipe/rtt/{8,64,1024,65536} pipe/rtt_asleep/8
expect sluice mpmc/{1x1,2x2,4x4,16x16}/{8,64,1024} mpmc_batch/2x2/8
expect sluice queue/oneway/{8,1024,65536} queue/rtt_asleep/8
expect sluice mutex/{uncontended,contended} recursive_mutex/uncontended shared_mutex/{read,read2}
expect sluice {condvar,semaphore,event}/{pingpong_asleep,pingpong_awake}
expect sluice value/{load,store,update}/{8,64} array/locked_write
expect sluice pool/{roundtrip_asleep,roundtrip_awake,submit,map,imap,startup2,startup8,arg_1mib}
expect sluice process/start_join
expect limit limit/{pingpong,reference_ring,memcpy4k,futex_pingpong,fork}
expect boost_lockfree spsc/oneway/8 mpmc/2x2/8
expect moodycamel spsc/oneway/8 mpmc/2x2/8 mpmc_batch/2x2/8
expect vyukov_unsafe mpmc/2x2/8
expect turn_ring_unsafe mpmc/2x2/8
expect boost_interprocess pipe/oneway/8 mutex/uncontended
expect pthread mutex/uncontended shared_mutex/read
expect pthread_robust mutex/uncontended
expect sem_t semaphore/pingpong_asleep
expect futex event/pingpong_asleep
expect pipe pipe/oneway/8
expect socketpair pipe/oneway/8
exit $missing
