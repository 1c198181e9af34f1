# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Results of test programs: counted from their KTAP, kept in three variables,
# printed as one last line. To be sourced.

passed=0 failed=0 skipped=0

# A failure that no result line of a program tells of.
fail() {
	echo "not ok - $*"
	((failed++))
}

# run_program NAME COMMAND [ARGS...]: show and count what it prints.
run_program() {
	local name=$1 output status

	output=$(mktemp)
	echo "# selftests: privheap: $name"
	"${@:2}" 2>&1 | tee "$output"
	status=${PIPESTATUS[0]}
	count_results "$name" "$status" "$output"
	rm -f "$output"
}

# count_results NAME STATUS FILE: more than a "not ok" is a failure, too.
count_results() {
	local name=$1 status=$2 planned ok not_ok skips results

	planned=$(sed -nE 's/^1\.\.([0-9]+).*/\1/p' "$3" | tail -n 1)
	not_ok=$(grep -cE '^not ok [0-9]+' "$3")
	skips=$(grep -cE '^(ok [0-9]+|1\.\.0) .*# SKIP' "$3")
	ok=$(grep -E '^ok [0-9]+' "$3" | grep -cv '# SKIP')
	results=$((ok + not_ok + skips))
	((passed += ok, failed += not_ok))

	# The virtual machine lacks nothing that a test could miss.
	if [[ ! ${PRIVHEAP_VM-} ]]; then
		((skipped += skips))
	elif ((skips)); then
		((failed += skips))
		echo "not ok - $name: $skips tests were skipped"
	fi
	if [[ ! $planned ]]; then
		fail "$name: there is no plan"
	elif ((results < planned || results == 0)); then
		fail "$name: $results results, $planned were planned"
	fi
	if ((status != 0 && not_ok == 0)); then
		fail "$name: exit status $status"
	fi
}

# summarise_failures: of each failure in the output of a run its program, its name and
# the first line that says why; the first ones, as others may follow from them.
summarise_failures() {
	awk '
		/^# selftests: privheap: / { program = substr($0, 24); why = "" }
		/^#  RUN/ { why = "" }
		/^# [^ ]+:([0-9]+:[^ ]+:| Test )/ && why == "" { why = ": " substr($0, 3) }
		/^not ok/ { sub(/^not ok /, ""); print program ": " $0 why; why = "" }
	' | awk 'NR <= 12 { print } END { if (NR > 12) print "and " NR - 12 " more" }'
}

# Print the last line; true if all is well. Of machines that share the work one may
# find nothing left to do.
conclude() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[[ $failed == 0 && ($passed != 0 || ${PRIVHEAP_CLAIMS-}) ]]
}

# add_part NAME STATUS FILE: add the last line of a part that was run elsewhere.
add_part() {
	local before=$failed line='^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$'

	if [[ $(tail -n 1 "$3") =~ $line ]]; then
		((passed += BASH_REMATCH[1], failed += BASH_REMATCH[2]))
		((skipped += BASH_REMATCH[3]))
	else
		fail "$1: did not come to its end"
	fi
	if (($2 != 0 && failed == before)); then
		fail "$1: exit status $2"
	fi
}
