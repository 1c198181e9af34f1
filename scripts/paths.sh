# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034
#
# What the scripts keep outside the checkout. To be sourced.

readonly cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/privheap

# The kernel's source, as Debian packs it.
readonly linux_source=linux-source-6.12

linux_source_version() {
	dpkg-query -W -f '${Version}' "$linux_source"
}

# debug_kernel_dir NAME TOP: where the kernel of this configuration is, once built.
debug_kernel_dir() {
	local key

	key=$(cat "$2/selftests/vm/common.config" "$2/selftests/vm/$1.config" |
		sha256sum)
	echo "$cache/kernel-$1_$(linux_source_version)_${key:0:12}"
}
