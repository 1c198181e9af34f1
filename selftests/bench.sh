#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# bench: every work of the benchmarks of allocators, done a few times with malloc,
# with heaps, with heaps that have a front end, and with those that have it and are
# not serialised. Prints KTAP. What comes out is not judged; that a block is lost, or
# a worker does not end, is.

set -uo pipefail

build=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
readonly build
export BENCH_SCALE=$((1000 * ${PRIVHEAP_SCALE:-1}))

# run_work WORK WORKER [NAME=VALUE...]: a figure and its units for each line.
run_work() {
	local output

	output=$(env "${@:3}" timeout 300 "$build/bench/$2" "$1") &&
		[[ $output ]] && ! grep -vqE '^-?[0-9]+ [1-9][0-9]*$' <<< "$output"
}

readonly variants=('malloc alloc-malloc' 'calls alloc-heapdev HEAPDEV_FRONTEND=0'
	'front_end alloc-heapdev HEAPDEV_FRONTEND=1'
	'unserialized alloc-heapdev HEAPDEV_FRONTEND=1 BENCH_UNSERIALIZED=1')
readonly needs_peer='^request '
status=0 number=0
echo 'TAP version 13'
for variant in "${variants[@]}"; do
	read -r name worker settings <<< "$variant"
	read -ra settings <<< "$settings"
	mapfile -t works < <(env "${settings[@]}" "$build/bench/$worker" |
		grep -v "$needs_peer")
	for work in "${works[@]}"; do
		result=ok
		run_work "$work" "$worker" "${settings[@]}" || { result='not ok'; status=1; }
		echo "$result $((++number)) ${work// /_}_with_$name"
	done
done
echo "1..$number"
exit $status
