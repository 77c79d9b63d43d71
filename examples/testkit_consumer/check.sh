#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds this workspace, runs its tests, and takes a quick look at its benchmark.
set -eu
cd "$(dirname "$0")"
bazelw=../../bazelw
# This workspace has a Bazel server of its own: not left running.
trap '$bazelw shutdown' EXIT

$bazelw test "$@" --test_output=errors //...
$bazelw run "$@" //:queue_bench -- --quick --runs=1 --benchmark_filter='oneway/8|1x1'
