# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034
#
# What the scripts keep outside the checkout. To be sourced.

readonly cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/privheap
