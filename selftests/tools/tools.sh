#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# tools [TEST...]: the privheap command as people and scripts use it. Prints KTAP.
#
# A test is a function; it runs in a shell of its own and passes if no command in
# it fails. What it looks at are the heaps of keepers, programs that do what they
# are told over a pipe. Needs root, and the command and its library beside it.

set -uo pipefail

build=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
readonly build keeper=$build/selftests-tools/keeper
readonly other_user=54321 no_heap=9223372036854775807
PATH=$build/bin:$PATH
temp=$(mktemp -d)
readonly temp

# --- Keepers

# keep COMMAND...: what the keeper of this test answers.
keep() {
	local answer

	echo "$*" >&"${KEEPER[1]}"
	read -r -t 300 answer <&"${KEEPER[0]}"
	echo "$answer"
}

# start_keeper [COMMAND...]: run it, perhaps by another command.
start_keeper() {
	coproc KEEPER { exec "$@" "$keeper"; }
	pid=$KEEPER_PID
	[[ $(keep name keeper) == ok ]]
}

readonly as_other_user=(setpriv --reuid "$other_user" --regid "$other_user" --clear-groups)

# --- What tests say

# A line of KTAP, also where the output is being caught.
complain() {
	echo "# $*" >&3
	return 1
}

# same WHAT IS EXPECTED
same() {
	[[ $2 == "$3" ]] || complain "$1 is '$2', not '$3'"
}

# matches WHAT TEXT REGEX
matches() {
	[[ $2 =~ $3 ]] || complain "$1 is '$2', which does not match '$3'"
}

# succeeds COMMAND...: its output becomes $output.
succeeds() {
	local status=0

	output=$("$@" 2> "$temp/err") || status=$?
	same "status of $*" $status 0
	same "errors of $*" "$(< "$temp/err")" ''
}

# fails STATUS COMMAND...: without output; the message becomes $message.
fails() {
	local expected=$1 status=0

	shift
	output=$("$@" 2> "$temp/err") || status=$?
	message=$(< "$temp/err")
	same "status of $*" $status "$expected"
	same "output of $*" "$output" ''
	matches "message of $*" "$message" '^privheap: .+'
	((expected == 2)) || same "lines of $*" "$(wc -l < "$temp/err")" 1
}

# wait_until COMMAND...: for a minute; under load everything takes its time.
wait_until() {
	local tries

	for ((tries = 0; tries < 600; tries++)); do
		if "$@"; then
			return 0
		fi
		sleep 0.1
	done
	complain "in vain: $*"
}

# field FILTER COMMAND...: what jq makes of the command's output.
field() {
	"${@:2}" | jq -r "$1"
}

# holds CONDITION COMMAND...: jq finds it true of the command's output.
holds() {
	"${@:2}" | jq -e "$1" > "$temp/jq" ||
		complain "'$1' does not hold of ${*:2}: $(< "$temp/jq")"
}

# --- Tests

help_for_each() {
	local command overview

	succeeds privheap --help
	overview=$output
	matches help "$overview" 'usage: privheap COMMAND'
	for command in list show top limit set watch map export; do
		succeeds privheap $command --help
		matches "help of $command" "$output" "^usage: privheap $command"
			matches 'list of commands' "$overview" $'\n'"  $command "
	done
	succeeds privheap --version
	matches version "$output" '^privheap [0-9.]+$'
}

usage_bad() {
	local line words

	while read -r line; do
		read -ra words <<< "$line"
		fails 2 privheap "${words[@]}"
		matches 'last line' "${message##*$'\n'}" "^Try 'privheap .*--help'\.$"
	done <<- EOT

		nosuch
		--nosuch
		list nosuch
		list --nosuch
		list --pid
		list --pid x
		list --pid -1
		list --pid 99999999999
		list --user nosuch
		list --heap 1x
		list --heap 18446744073709551616
		list --sort nosuch
		list --count 1
		show
		show x
		show 1 2
		map
		map 0x1
		top --delay 0
		top --delay x
		top --sort nosuch
		watch 1
		watch --count x
		export 1
		limit
		limit nosuch
		limit get nosuch
		limit get heap 1 2
		limit get --pid 1 heap 1
		limit get system 1
		limit set
		limit set heap
		limit set heap 1
		limit set heap x hard 1M
		limit set heap 1 hard
		limit set heap 1 hard 1X
		limit set heap 1 hard -1
		limit set heap 1 hard 1.5M
		limit set heap 1 hard 16E
		limit set heap 1 hard 18446744073709551616
		limit set heap 1 hard 1M hard 2M
		limit set heap 1 nosuch 1M
		limit set process x hard 1M
		limit set user nosuch hard 1M
		set
		set 1
		set 1 policy
		set x policy page
		set 1 policy nosuch
		set 1 nosuch 1
		set 1 window -1
		set 1 idle x
		set 1 idle max
		set 1 fail-ppm 1000001
		limit set heap all
		limit reset
		limit reset heap
		limit reset system 1
	EOT
}

heap_unknown() {
	fails 1 privheap show $no_heap
	fails 1 privheap map $no_heap
	fails 1 privheap limit get heap $no_heap
	fails 1 privheap limit set heap $no_heap hard 1M
	fails 1 privheap limit reset heap $no_heap
	fails 1 privheap limit set process 2147483647 hard 1M
	fails 1 privheap limit set cgroup /tmp hard 1M
	fails 1 privheap limit set cgroup "$temp/nosuch" hard 1M
	fails 1 privheap list --pid 2147483647
	fails 1 privheap list --json --pid 2147483647
	fails 1 privheap export --pid 2147483647
}

namespace_other() {
	fails 1 unshare -n privheap list
	matches message "$message" 'network namespace'
}

output_full() {
	local status=0

	privheap list > /dev/full 2> "$temp/err" || status=$?
	same status $status 1
	matches message "$(< "$temp/err")" '^privheap: cannot write'
}

list_row() {
	local serial row

	start_keeper
	serial=$(keep create 1048576 524288 0)
	row=$(privheap list | awk -v serial="$serial" '$1 == serial')
	matches row "$row" "^ *$serial +$pid root +1M +4K +4K +4K +512K +0 live +- +keeper$"
	row=$(privheap list --bytes --heap "$serial" | tail -n 1)
	matches row "$row" "^ *$serial +$pid root +1048576 +4096 +4096 +4096 +524288 "
	same titles "$(privheap list | head -n 1 | xargs)" \
		'HEAP PID USER RESERVED COMMITTED RESIDENT PEAK LIMIT FAILURES STATE FLAGS COMMAND'
}

list_json() {
	local serial

	start_keeper
	serial=$(keep create 0 0 34)
	[[ $(keep alloc 100000) == [1-9]* ]]
	succeeds privheap list --json --heap "$serial"
	echo "$output" > "$temp/list"
	holds 'length == 1' cat "$temp/list"
	holds ".[0] | .heap == $serial and .pid == $pid and .uid == 0" cat "$temp/list"
	holds '.[0] | .command == "keeper" and .state == "live"' cat "$temp/list"
	holds '.[0] | .flags == ["backed", "secret"] and .limit_bytes == null' cat "$temp/list"
	holds '.[0] | .blocks == 1 and .allocated_bytes == 100000' cat "$temp/list"
	holds '.[0] | .resident_bytes == .committed_bytes' cat "$temp/list"
	holds '.[0] | .committed_bytes >= 100000 and .committed_bytes <= .peak_bytes' \
		cat "$temp/list"
	holds '.[0] | .reserved_bytes >= .committed_bytes and .regions >= 1' cat "$temp/list"
}

list_filtered() {
	local first second

	start_keeper
	first=$(keep create 0 0 0)
	second=$(keep create 0 0 0)
	same 'heaps of the process' "$(field 'map(.heap) | join(" ")' \
		privheap list --json --pid "$pid")" "$first $second"
	same 'one heap' "$(field 'map(.heap) | join(" ")' \
		privheap list --json --heap "$second" --user root)" "$second"
	same 'of another user' "$(field length \
		privheap list --json --heap "$second" --user $other_user)" 0
	same 'of another process' "$(field length \
		privheap list --json --heap "$second" --pid 1)" 0
}

list_sorted() {
	local small large middle order

	start_keeper
	small=$(keep create 0 0 0)
	large=$(keep create 0 0 0)
	keep alloc 500000 > /dev/null
	middle=$(keep create 0 0 0)
	keep alloc 50000 > /dev/null
	order=$(privheap list --pid "$pid" --sort committed | awk 'NR > 1 { print $1 }' | xargs)
	same 'by committed' "$order" "$large $middle $small"
	order=$(privheap list --pid "$pid" --sort COMMITTED --reverse |
		awk 'NR > 1 { print $1 }' | xargs)
	same 'the other way round' "$order" "$small $middle $large"
	same 'by blocks' "$(field 'map(.heap) | join(" ")' \
		privheap list --json --pid "$pid" --sort blocks)" "$large $middle $small"
	same 'by heap' "$(field 'map(.heap) | join(" ")' \
		privheap list --json --pid "$pid" --sort heap)" "$small $large $middle"
}

# Others choose what their processes are called.
name_hostile() {
	local serial

	start_keeper
	serial=$(keep create 0 0 0)
	keep 'name \x1b[31m"\x5c\x0a\xc3\xa4\xff\xc2\x9b' > /dev/null
	matches 'row' "$(privheap list --heap "$serial" | tail -n 1)" ' \?\[31m"\\\?ä\?\?\?$'
	same 'in JSON' "$(field '.[0].command' privheap list --json --heap "$serial")" \
		'?[31m"\?ä???'
	privheap export --pid "$pid" > "$temp/export"
	grep -qF 'command="?[31m\"\\?ä???"' "$temp/export"
}

show_heap() {
	local serial committed

	start_keeper
	serial=$(keep create 0 0 0)
	keep alloc 100 > /dev/null
	keep alloc 100000 > /dev/null
	succeeds privheap show "$serial"
	matches 'first line' "$output" "^heap: +$serial"
	for word in limits: regions: classes: faults: fault_times: pages:; do
		matches text "$output" "$word"
	done
	matches picture "$output" '0x[0-9a-f]+  [.#o+-]+'
	privheap show --json "$serial" > "$temp/show"
	holds ".heap.heap == $serial" cat "$temp/show"
	holds '.limits | map(.scope) == ["heap", "process", "user", "system"]' cat "$temp/show"
	holds '(.classes | map(.blocks) | add) == 1' cat "$temp/show"
	holds '(.classes | map(.allocated_bytes) | add) == 100' cat "$temp/show"
	holds '(.regions | map(.reserved_bytes) | add) == .heap.reserved_bytes' cat "$temp/show"
	holds '.heap.policy == "adaptive" and .faults == []' cat "$temp/show"
	committed=$(field '.regions | map(.committed_bytes) | add' cat "$temp/show")
	same committed "$(field .heap.committed_bytes cat "$temp/show")" "$committed"
}

# Faults are counted, and timed when somebody wants to know.
show_faults() {
	local serial times=/sys/module/privheap/parameters/fault_times

	start_keeper
	serial=$(keep create 0 0 0)
	succeeds privheap set "$serial" policy window window 4
	keep alloc 64000 > /dev/null
	echo Y > $times
	same touch "$(keep touch)" ok
	echo N > $times
	privheap show --json "$serial" > "$temp/show"
	holds '.heap.policy == "window" and .heap.window_pages == 4' cat "$temp/show"
	holds '.faults | map(select(.source == "fresh" and .order == 2)) | length == 1' \
		cat "$temp/show"
	holds '(.faults | map(.faults) | add) == (.fault_times | map(.faults) | add)' \
		cat "$temp/show"
	privheap export --faults > "$temp/export"
	check_export "$temp/export"
	grep -q "^privheap_heap_faults_total{heap=\"$serial\",.*source=\"fresh\",order=\"2\"} [1-9]" \
		"$temp/export"
	grep -q "^privheap_heap_fault_times_total{heap=\"$serial\",.*from_ns=\"[0-9]*\"} [1-9]" \
		"$temp/export"
}

# Have a heap of a running program fail, and see that it did.
set_failures() {
	local serial

	start_keeper
	serial=$(keep create 0 0 0)
	succeeds privheap set "$serial" fail-nth 1
	same 'the next one' "$(keep alloc 100000)" ENOMEM
	matches 'the one after' "$(keep alloc 100000)" '^[1-9]'
	holds '.[0] | .injected_failures == 1 and .inject_nth == 0' \
		privheap list --json --heap "$serial"
	succeeds privheap set "$serial" fail-ppm 1000000 fail-seed 3
	same 'all of them' "$(keep alloc 100000)" ENOMEM
	succeeds privheap set "$serial" fail-ppm 0
	matches 'none of them' "$(keep alloc 100000)" '^[1-9]'
	succeeds privheap set "$serial" idle 1M
	fails 1 privheap set "$serial" window 3
	fails 1 privheap set $no_heap policy page
	holds '.[0] | .max_idle_bytes == 1048576 and .policy == "adaptive"' \
		privheap list --json --heap "$serial"
}

# Huge pages are for heaps that were made for them, which may go without and come back.
set_policy_huge() {
	local serial

	start_keeper
	serial=$(keep create 0 0 0)
	fails 1 privheap set "$serial" policy huge
	matches message "$message" 'huge pages'
	fails 1 privheap set "$serial" idle 1E
	matches message "$message" 'more than a heap can have'
	holds '.[0] | .policy == "adaptive" and .max_idle_bytes == 0' \
		privheap list --json --heap "$serial"
	serial=$(keep create 0 0 0 5)
	succeeds privheap set "$serial" policy page
	holds '.[0].policy == "page"' privheap list --json --heap "$serial"
	succeeds privheap set "$serial" policy huge
	holds '.[0].policy == "huge"' privheap list --json --heap "$serial"
}

# The picture has a sign for each page of a small heap.
show_picture() {
	local serial signs

	start_keeper
	serial=$(keep create 65536 0 0)
	keep alloc 20000 > /dev/null
	signs=$(privheap show "$serial" | sed -n '/^region at/,$p' | sed -n 2p | awk '{ print $2 }')
	matches untouched "$signs" '^[.#o+-]{16}$'
	matches untouched "$signs" '\+\+\+\+'
	keep touch > /dev/null
	signs=$(privheap show "$serial" | sed -n '/^region at/,$p' | sed -n 2p | awk '{ print $2 }')
	matches touched "$signs" '#####'
	same 'merely committed' "${signs//[^+]/}" ''
}

map_heap() {
	local serial

	start_keeper
	serial=$(keep create 1048576 0 0)
	keep alloc 200000 > /dev/null
	privheap map --json "$serial" > "$temp/map"
	privheap list --json --heap "$serial" > "$temp/list"
	same reserved "$(field .sums.reserved_bytes cat "$temp/map")" 1048576
	same committed "$(field .sums.committed_bytes cat "$temp/map")" \
		"$(field '.[0].committed_bytes' cat "$temp/list")"
	same resident "$(field .sums.resident_bytes cat "$temp/map")" \
		"$(field '.[0].resident_bytes' cat "$temp/list")"
	# Each run begins where the one before ends, and is another kind.
	# shellcheck disable=SC2016
	holds '.runs as $r | [range(1; $r | length) | ($r[. - 1].addr + $r[. - 1].bytes) == $r[.].addr and
		[$r[. - 1].state, $r[. - 1].use, $r[. - 1].slot_bytes] != [$r[.].state, $r[.].use, $r[.].slot_bytes]] | all' \
		cat "$temp/map"
	# The first page of a heap is resident from the beginning.
	holds '.runs | map(select(.use == "large").pages) == [1, 48]' cat "$temp/map"
	keep touch > /dev/null
	holds '.runs | map(select(.use == "large")) | map(.pages, .state) == [49, "resident"]' \
		privheap map --json "$serial"
	matches text "$(privheap map "$serial")" 'ADDRESS.*large.*reserved: +1M'
}

limit_get() {
	local serial scope

	start_keeper
	serial=$(keep create 0 1048576 0)
	matches row "$(privheap limit get heap "$serial" | tail -n 1)" \
		"^heap +$serial +root +4K +4K +1M +max +0 "
	same 'of the process' "$(field .key privheap limit get --json process "$pid")" "$pid"
	same 'of the user' "$(field .key privheap limit get --json user root)" 0
	same 'of the system' "$(field '.[0].scope' privheap limit get --json system)" system
	for scope in heap process user system; do
		holds "map(.scope == \"$scope\") | length > 0 and all" \
			privheap limit get --json $scope
	done
	holds 'map(.scope) | unique | contains(["heap", "process", "system", "user"])' \
		privheap limit get --json
	same 'below the process' "$(field 'map(.scope) | sort | join(" ")' \
		privheap limit get --json --pid "$pid")" 'heap process'
}

# The program runs on, and what it holds stays; more it does not get.
limit_halved() {
	local serial

	start_keeper
	serial=$(keep create 0 1048576 0)
	matches block "$(keep alloc 600000)" '^[1-9]'
	succeeds privheap limit set heap "$serial" hard 512K
	same 'more' "$(keep alloc 4096)" EDQUOT
	same touch "$(keep touch)" ok
	matches row "$(privheap list --heap "$serial" | tail -n 1)" ' 512K +[1-9]'
	succeeds privheap limit set heap "$serial" hard max
	matches 'more' "$(keep alloc 4096)" '^[1-9]'
}

limit_of_all_heaps() {
	local i

	start_keeper
	for i in 1 2 3; do
		keep create 0 0 0 > /dev/null
	done
	succeeds privheap limit set heap all --pid "$pid" hard 1M soft 512K
	holds 'length == 3 and all(.hard_bytes == 1048576 and .soft_bytes == 524288)' \
		privheap limit get --json heap --pid "$pid"
	fails 2 privheap limit set heap 1 --pid "$pid" hard 1M
}

limit_of_process() {
	start_keeper
	keep create 0 0 0 > /dev/null
	succeeds privheap limit set process "$pid" hard 64K
	same 'more' "$(keep alloc 100000)" EDQUOT
	same failures "$(field .failures privheap limit get --json process "$pid")" 1
	succeeds privheap limit reset process "$pid"
	holds '.failures == 0 and .peak_bytes == .usage_bytes and .hard_bytes == 65536' \
		privheap limit get --json process "$pid"
	succeeds privheap limit set process "$pid" hard max soft 32K
	matches 'more' "$(keep alloc 100000)" '^[1-9]'
	same 'soft hits' "$(field .soft_hits privheap limit get --json process "$pid")" 1
}

# The cgroup has its own node, which is named by its folder.
limit_of_cgroup() {
	local folder=/sys/fs/cgroup/privheap-tools serial

	mkdir -p $folder
	fails 1 privheap limit get cgroup $folder
	start_keeper
	same cgroup "$(keep cgroup $folder)" ok
	serial=$(keep create 0 0 4)
	holds ".[0] | .flags == [\"cgroup\"] and .cgroup == $(stat -c %i $folder)" \
		privheap list --json --heap "$serial"
	succeeds privheap limit set cgroup $folder hard 1M
	same 'too much' "$(keep alloc 2000000)" EDQUOT
	matches 'enough' "$(keep alloc 500000)" '^[1-9]'
	holds '.scope == "cgroup" and .hard_bytes == 1048576 and .failures >= 1 and .usage_bytes > 500000' \
		privheap limit get --json cgroup $folder
	holds '.limits | map(.scope) | contains(["cgroup"])' privheap show --json "$serial"
	fails 1 privheap limit get cgroup /sys/fs/cgroup/privheap-nosuch
}

limit_contradictory() {
	local serial before

	start_keeper
	serial=$(keep create 0 1048576 0)
	before=$(privheap limit get --json heap "$serial")
	fails 1 privheap limit set heap "$serial" hard 1M soft 2M
	fails 1 privheap limit set heap "$serial" grace 2M
	same 'the limit' "$(privheap limit get --json heap "$serial")" "$before"
}

user_sees_own() {
	local serial other

	start_keeper
	other=$(keep create 0 0 0)
	(
		chmod 666 /dev/privheap
		start_keeper "${as_other_user[@]}"
		serial=$(keep create 0 1048576 0)
		same 'all heaps' "$(field 'map(.heap) | join(" ")' \
			"${as_other_user[@]}" privheap list --json)" "$serial"
		succeeds "${as_other_user[@]}" privheap show "$serial"
		fails 1 "${as_other_user[@]}" privheap show "$other"
		fails 1 "${as_other_user[@]}" privheap map "$other"
		fails 1 "${as_other_user[@]}" privheap limit get heap "$other"
		fails 1 "${as_other_user[@]}" privheap limit set heap "$other" hard 4K
		fails 1 "${as_other_user[@]}" privheap set "$other" policy page
		succeeds "${as_other_user[@]}" privheap set "$serial" policy page
		succeeds "${as_other_user[@]}" privheap limit set heap "$serial" hard 512K
		fails 1 "${as_other_user[@]}" privheap limit set heap "$serial" hard 1M
		fails 1 "${as_other_user[@]}" privheap limit set system hard 4K
		fails 1 "${as_other_user[@]}" privheap limit set user root hard 4K
		same 'the limit' "$(field .hard_bytes privheap limit get --json heap "$serial")" 524288
		succeeds privheap limit set heap "$serial" hard 1M
	)
}

# --- Events

# start_watch FILE ARGS...: returns when nothing can be missed any more.
start_watch() {
	privheap watch "${@:2}" > "$1" 2>&1 &
	watcher=$!
	wait_until subscribed $watcher
}

# Two sockets for generic netlink: one for questions, one for events. The second
# one has a subscription when its question has been answered, so when the command
# waits in poll().
subscribed() {
	[[ $(< "/proc/$1/wchan") == *poll* ]]
}

watch_all_kinds() {
	local serial

	start_watch "$temp/events" --json
	start_keeper
	serial=$(keep create 0 1048576 0)
	privheap limit set heap "$serial" hard 512K soft 256K
	keep alloc 300000 > /dev/null
	same 'too much' "$(keep alloc 600000)" EDQUOT
	same 'no block' "$(keep free 12345)" ENOENT
	same destroyed "$(keep destroy)" ok
	wait_until grep -q heap-destroyed "$temp/events"
	kill $watcher
	# Every line is a document.
	jq -es "map(select(.pid == $pid or .heap.heap == $serial or .limit.key == $serial))" \
		"$temp/events" > "$temp/ours"
	same kinds "$(field 'map(.event) | join(" ")' cat "$temp/ours")" \
		'heap-created limit-changed soft-limit limit-hit misuse heap-destroyed'
	holds "map(.heap.heap == $serial) | all" cat "$temp/ours"
	holds '.[1].limit | .hard_bytes == 524288 and .soft_bytes == 262144' cat "$temp/ours"
	holds '.[2].limit.soft_hits == 1' cat "$temp/ours"
	holds '.[3].limit | .scope == "heap" and .failures == 1' cat "$temp/ours"
	holds '.[4] | .call == "free" and .errno == "ENOENT" and .addr == 12345' cat "$temp/ours"
	holds 'map(.time_ns) | . == sort and .[0] > 1600000000000000000' cat "$temp/ours"
	holds 'map(.time | test("^20[0-9-]+T[0-9:]+[.][0-9]{6}$")) | all' cat "$temp/ours"
}

watch_text() {
	local serial

	start_watch "$temp/text" --count 2
	start_keeper
	serial=$(keep create 0 0 0)
	privheap limit set heap "$serial" hard 1M
	wait $watcher
	same lines "$(wc -l < "$temp/text")" 3
	matches created "$(sed -n 2p "$temp/text")" \
		"^[0-9:]+[.][0-9]{6} heap-created +heap $serial keeper\[$pid\] reserved 64K committed 4K"
	matches changed "$(sed -n 3p "$temp/text")" \
		"limit-changed +heap $serial keeper\[$pid\] of heap $serial: usage 4K hard 1M soft max"
}

watch_filtered() {
	local first second

	start_keeper
	first=$(keep create 0 0 0)
	second=$(keep create 0 0 0)
	start_watch "$temp/events" --json --heap "$second" --count 1
	privheap limit set heap "$first" hard 1M
	privheap limit set heap "$second" hard 2M
	wait $watcher
	same heap "$(field .heap.heap cat "$temp/events")" "$second"
}

watch_as_user() {
	local serial

	chmod 666 /dev/privheap
	start_keeper "${as_other_user[@]}"
	"${as_other_user[@]}" privheap watch --json --count 2 > "$temp/events" &
	watcher=$!
	wait_until subscribed $watcher
	"$keeper" <<< 'create 0 0 0' > /dev/null
	serial=$(keep create 0 0 0)
	keep destroy > /dev/null
	wait $watcher
	same heaps "$(jq -es 'map(.heap.heap) | join(" ")' -r "$temp/events")" "$serial $serial"
}

# A reader that does not read loses events, and learns how many.
watch_lost() {
	local lost seen last i

	# Newer kernels give a reader room for all of them.
	echo 212992 > /proc/sys/net/core/rmem_max
	start_keeper
	start_watch "$temp/events" --json
	kill -STOP $watcher
	# More of each in a second are not told.
	for ((i = 0; i < 10; i++)); do
		same heaps "$(echo many 99 | "$keeper")" 99
	done
	kill -CONT $watcher
	wait_until grep -q '"event":"lost"' "$temp/events"
	keep create 0 0 0 > /dev/null
	wait_until knows_of_all
	kill $watcher
	lost=$(jq -es 'map(select(.event == "lost").lost // 0) | add' "$temp/events")
	seen=$(jq -es 'map(select(.event != "lost")) | length' "$temp/events")
	last=$(jq -es 'map(.seq // 0) | max' "$temp/events")
	((lost > 0))
	same 'lost and seen' $((lost + seen)) "$last"
	same 'all' "$last" 1981
}

knows_of_all() {
	[[ $(jq -s 'map(.seq // 0) | max' "$temp/events") == 1981 ]]
}

# --- Export

# What promtool asks of a file: each metric described once and before its samples,
# which come together; counters end in _total, nothing else does; no sample twice.
check_export() {
	awk '
	function bad(what) { print "# line " NR ", " what ": " $0; failed = 1 }
	/^# HELP / { if ($3 in help || NF < 4) bad("HELP"); help[$3] = 1; next }
	/^# TYPE / {
		if ($3 in type || !($3 in help)) bad("TYPE")
		if (($4 == "counter") != ($3 ~ /_total$/)) bad("name")
		type[$3] = $4; current = $3; next
	}
	{
		if (!match($0, /^[a-z_]+/)) bad("metric")
		if (substr($0, 1, RLENGTH) != current) bad("order")
		sample = $0; sub(/ [^ ]*$/, "", sample)
		if (sample in seen) bad("twice")
		seen[sample] = 1
		if ($0 !~ /^[a-z_]+([{]([a-z_]+="([^"\\]|\\["\\])*",?)*[}])? ([0-9]+|[+]Inf)$/) bad("sample")
	}
	END { exit failed || !NR }' "$1"
}

export_format() {
	local serial

	start_keeper
	serial=$(keep create 0 1048576 0)
	keep alloc 5000 > /dev/null
	privheap export > "$temp/export"
	check_export "$temp/export"
	grep -qx "privheap_heap_allocated_bytes{heap=\"$serial\",pid=\"$pid\",uid=\"0\",command=\"keeper\"} 5000" \
		"$temp/export"
	grep -q "^privheap_limit_hard_bytes{scope=\"heap\",key=\"$serial\",.*} 1048576$" \
		"$temp/export"
	grep -q "^privheap_limit_soft_bytes{scope=\"heap\",key=\"$serial\",.*} +Inf$" \
		"$temp/export"
}

# --- Completion

# complete_to WORDS...: what follows at the last word.
complete_to() {
	COMP_WORDS=(privheap "$@")
	COMP_CWORD=$#
	COMPREPLY=()
	_privheap
	completed=" ${COMPREPLY[*]} "
}

completion() {
	local serial

	# shellcheck source=tools/completion/privheap
	. "$build/../tools/completion/privheap"
	start_keeper
	serial=$(keep create 0 0 0)
	complete_to l
	same commands "$completed" ' list limit '
	complete_to show ''
	matches heaps "$completed" " $serial "
	complete_to show "$serial" ''
	same 'no second heap' "$completed" '  '
	complete_to list --pid ''
	matches processes "$completed" " $pid "
	complete_to list --s
	same options "$completed" ' --sort '
	complete_to list --sort re
	same columns "$completed" ' reserved resident '
	complete_to limit ''
	same verbs "$completed" ' get set reset '
	complete_to limit set p
	same scopes "$completed" ' process '
	complete_to limit set heap ''
	matches heaps "$completed" " $serial "
	complete_to limit set --bytes user ro
	same users "$completed" ' root '
	complete_to limit set heap "$serial" ''
	same values "$completed" ' hard soft grace '
	complete_to limit set heap "$serial" hard m
	same sizes "$completed" ' max '
	complete_to set ''
	matches heaps "$completed" " $serial "
	complete_to set "$serial" fail-
	same settings "$completed" ' fail-nth fail-ppm fail-seed '
	complete_to set "$serial" policy a
	same policies "$completed" ' adaptive '
	complete_to limit set system ''
	same values "$completed" ' hard soft grace '
	complete_to limit get system ''
	same 'nothing' "$completed" '  '
	complete_to limit reset cgroup /sys/fs/cgroup/cgroup
	same 'files' "$completed" '  '
}

# What is offered is taken.
completion_of_settings() {
	local serial setting word

	# shellcheck source=tools/completion/privheap
	. "$build/../tools/completion/privheap"
	start_keeper
	serial=$(keep create 0 0 0 5)
	for setting in window idle policy; do
		complete_to set "$serial" $setting ''
		for word in $completed; do
			succeeds privheap set "$serial" $setting "$word"
		done
	done
	same 'last policy' "$(field '.[0].policy' privheap list --json --heap "$serial")" "$word"
}

# --- top

terminal() {
	tmux -S "$temp/tmux" -f /dev/null "$@"
}

# start_top ARGS...: in a terminal of its own, which stays when it has ended.
start_top() {
	terminal new-session -d -x 120 -y 24 "privheap top $*; echo status \$?; read -r"
}

screen_has() {
	[[ $(terminal capture-pane -p) == *"$1"* ]]
}

top_keys() {
	local serial

	start_keeper
	serial=$(keep create 0 0 0)
	keep alloc 300000 > /dev/null
	start_top --delay 0.2 --pid "$pid"
	wait_until screen_has 'sorted by COMMITTED'
	wait_until screen_has "$serial"
	wait_until screen_has ' 300K '
	terminal send-keys '>'
	wait_until screen_has 'sorted by RESIDENT'
	terminal send-keys Left r
	wait_until screen_has 'sorted by COMMITTED (reverse)'
	terminal send-keys b
	wait_until screen_has ' 307200 '
	# It sees by itself what is new.
	keep alloc 3000000 > /dev/null
	wait_until screen_has ' 3309568 '
	keep create 0 0 0 > /dev/null
	wait_until screen_has '2 heaps'
	# A terminal that has hardly room is no reason to end.
	terminal resize-window -x 20 -y 3
	wait_until screen_has $'2 heaps, 3.2M commit\n'
	terminal send-keys Down PageDown Up Home
	terminal resize-window -x 100 -y 30
	wait_until screen_has COMM
	terminal send-keys q
	wait_until screen_has 'status 0'
}

top_scrolled() {
	local i serial

	start_keeper
	for ((i = 0; i < 40; i++)); do
		serial=$(keep create 0 0 0)
	done
	start_top --delay 0.2 --pid "$pid" --sort heap
	wait_until screen_has "$((serial - 39)) "
	wait_until screen_lacks " $serial "
	terminal send-keys PageDown
	wait_until screen_has " $serial "
	terminal send-keys Home
	wait_until screen_lacks " $serial "
	terminal send-keys q
	wait_until screen_has 'status 0'
}

screen_lacks() {
	! screen_has "$1"
}

top_count() {
	start_top --delay 0.1 --count 3
	wait_until screen_has 'status 0'
}

# The process of the list ends: a message, and the terminal as it was.
top_of_nobody() {
	start_top --delay 0.1 --pid 2147483647
	wait_until screen_has 'status 1'
	screen_has 'privheap: '
}

top_without_terminal() {
	fails 1 privheap top < /dev/null
	matches message "$message" terminal
}

# --- The library

library_apart() {
	same 'a program that allocates' "$(ldd "$build/lib/libheapdev.so" | grep -c libnl)" 0
	matches 'the command' "$(ldd "$build/bin/privheap")" libnl-genl
}

tests=(
	help_for_each usage_bad heap_unknown namespace_other output_full
	list_row list_json list_filtered list_sorted name_hostile
	show_heap show_faults set_failures set_policy_huge show_picture map_heap
	limit_get limit_halved limit_of_all_heaps limit_of_process limit_of_cgroup limit_contradictory
	user_sees_own
	watch_all_kinds watch_text watch_filtered watch_as_user watch_lost
	export_format completion completion_of_settings
	top_keys top_scrolled top_count top_of_nobody top_without_terminal
	library_apart
)

# end_test STATUS COMMAND: no process of the test is left.
end_test() {
	local jobs

	(($1 == 0)) || complain "ended with status $1 at: $2" || :
	[[ ! -e $temp/tmux ]] || terminal kill-server || :
	mapfile -t jobs < <(jobs -p)
	((${#jobs[@]} == 0)) || kill "${jobs[@]}" 2> /dev/null || :
	wait
	chmod 600 /dev/privheap
	exit "$1"
}

# run_test NAME: in a shell of its own, which ends at the first failure.
run_test() (
	set -e
	trap 'end_test $? "$BASH_COMMAND"' EXIT
	rm -rf "${temp:?}"/*
	"$1"
)

(($# == 0)) || tests=("$@")
exec 3>&1
echo 'TAP version 13'
echo "1..${#tests[@]}"
failed=0
for ((i = 0; i < ${#tests[@]}; i++)); do
	run_test "${tests[i]}"
	status=$?
	if ((status == 0)); then
		echo "ok $((i + 1)) ${tests[i]}"
	else
		echo "not ok $((i + 1)) ${tests[i]}"
		((++failed))
	fi
done
rm -rf "$temp"
((failed == 0))
