# SPDX-License-Identifier: GPL-2.0-only
#
# privheap: everything that can be made; "make help" lists it.

# Which of Debian's kernels: those that the module is built for and tested on.
# 6.12@4 is the same with 4 processors.
KERNEL ?= 6.1 6.12
# Which tests; all if empty.
SUBJECT ?=
# How long to fuzz, or to stress.
SECONDS ?= 60

# "wall" for benchmarks without counted time.
TIME ?=

PREFIX ?= /usr/local
DESTDIR ?=

MAKEFLAGS += --no-print-directory
# What the user of sudo builds shall stay theirs.
as_user := $(if $(SUDO_USER),setpriv --reuid $(SUDO_UID) --regid $(SUDO_GID) --init-groups)
release := $(shell uname -r)
kernels := $(sort $(foreach kernel,$(KERNEL),$(firstword $(subst @, ,$(kernel)))))
newest := $(lastword $(kernels))

.PHONY: all help modules lib tools selftests demo run test matrix coverage bench bench-alloc \
	bench-alloc-native scale check check-wine fuzz fuzz-check stress debug-kernel load \
	unload install clean deps

all: modules lib tools

help:
	@echo 'make              the module for both kernels, the libraries, the privheap command'
	@echo 'make run          the demonstrations, in a virtual machine'
	@echo 'make test         all tests, in virtual machines'
	@echo 'make matrix       all tests, on all kernels and with 1, 2 and 4 processors'
	@echo 'make coverage     all tests on the kernel debug, and what of the module they reach'
	@echo 'make bench        the benchmarks, in a virtual machine with counted time'
	@echo 'make bench-alloc  blocks of heaps beside those of glibc, jemalloc, mimalloc, tcmalloc'
	@echo '                  "make bench-alloc-native": the library alone, on this machine'
	@echo 'make scale        100000 heaps at once, in a virtual machine of 4 GiB'
	@echo 'make check        what static checkers find'
	@echo 'make fuzz         the bookkeeping of blocks, the front end, the calls; SECONDS=60 each'
	@echo 'make stress       everything at once, in a virtual machine, for SECONDS=60'
	@echo 'make fuzz-check   is what the fuzzer finds printed so that it can be seen again?'
	@echo 'make check-wine   the library beside Wine, the same programs on both'
	@echo 'sudo make load    build for the running kernel, load, run the demonstrations'
	@echo 'sudo make unload  take the module out of the running kernel'
	@echo 'make install      libraries and command, to DESTDIR and PREFIX ($(PREFIX))'
	@echo
	@echo 'make modules      the module for both kernels, in build/RELEASE/module/'
	@echo 'make lib          libheapdev, in build/lib/'
	@echo 'make tools        the privheap command and libheapdev-admin, in build/bin/ and build/lib/'
	@echo 'make selftests    the test programs, in build/selftests/'
	@echo 'make demo         the demonstration programs'
	@echo 'make debug-kernel the kernels "debug" and "kcsan", once a machine, ten minutes each'
	@echo 'make deps         all packages that the targets above need'
	@echo 'make clean        remove what was built'
	@echo
	@echo 'KERNEL=6.12       for one kernel only: 6.1, 6.12, 6.12-rt (real-time), debug (KASAN,'
	@echo '                  lockdep and more), kcsan (data races), next (the newest of Debian);'
	@echo '                  6.12@4 is 6.12 with 4 processors'
	@echo 'SUBJECT=heap      one subject of the tests only'
	@echo 'TIME=wall         benchmarks by the clock, not by counted instructions'
	@echo
	@echo 'Packages that a target misses are installed first if root makes it.'

# --- Packages

# What a target needs is looked up each time, which takes a tenth of a second.
deps: deps-build deps-tools deps-vm deps-programs deps-kselftest deps-check deps-wine deps-fuzz \
	$(addprefix deps-headers-,$(kernels))

deps-%:
	@scripts/deps $*

deps-headers-debug deps-headers-kcsan: deps-headers-%:
	@scripts/debug-kernel $*

deps-headers-next:
	@scripts/next-kernel

deps-headers-running:
	@scripts/deps headers-running || { echo 'The headers of the running kernel' \
		'are missing; "make run" does without.' >&2; exit 1; }

# --- Build

modules: $(addprefix module-,$(kernels))

module-%: deps-build deps-headers-%
	@+scripts/build-module $*

lib: deps-build
	@$(MAKE) -C libheapdev

tools: deps-build deps-tools
	@$(MAKE) -C libheapdev-admin
	@$(MAKE) -C tools

selftests: lib tools deps-programs deps-kselftest
	@$(MAKE) -C bench workers
	@$(MAKE) -C selftests

demo: lib tools deps-programs
	@$(MAKE) -C demo

debug-kernel:
	@scripts/debug-kernel debug kcsan

# --- Use

run: module-$(newest) demo deps-vm
	@selftests/vm/run --kernel $(newest) --timeout 900 -- demo/run

test: modules selftests deps-vm
	@scripts/test '$(KERNEL)' $(SUBJECT)

matrix:
	@$(MAKE) test KERNEL='6.1 6.12 6.12@1 6.12@4 6.12-rt next'

coverage: deps-headers-debug selftests deps-vm
	@selftests/coverage $(SUBJECT)

# The kernels of distributions clear memory when it is allocated, and perhaps once
# more; what that takes shows beside a boot without it.
bench: module-$(newest) lib deps-vm deps-plot
	@$(MAKE) -C bench
	@status=0; \
	for arguments in '' init_on_alloc=0; do \
		selftests/vm/run --kernel $(newest) $(if $(filter wall,$(TIME)),,--icount) \
			--append "$$arguments" --timeout 1800 -- bench/run || status=1; \
	done; \
	bench/plot build/scratch/bench build/scratch/bench/*/; \
	exit $$status

# Counted time for one thread; for several, two virtual CPUs at once.
bench-alloc: module-$(newest) lib deps-vm deps-plot deps-allocators
	@$(MAKE) -C bench
	@status=0; \
	BENCH_LABEL=alloc selftests/vm/run --kernel $(newest) --icount --timeout 3600 -- \
		bench/run alloc alloc_memory || status=1; \
	BENCH_SCALE=20 BENCH_LABEL=threads selftests/vm/run --kernel $(newest) --parallel \
		--timeout 3600 -- bench/run alloc_threads || status=1; \
	bench/plot build/scratch/bench build/scratch/bench/*/; \
	exit $$status

# The library without the module, see doc/bench/README.md.
bench-alloc-native: lib deps-plot deps-allocators
	@$(MAKE) -C bench
	@status=0; folder=build/scratch/bench/$(release)-native; \
	rm -rf $$folder; mkdir -p $$folder; \
	for subject in alloc alloc_threads; do \
		BENCH_SIMULATED=1 build/bench/$$subject --csv $$folder || status=1; \
	done; \
	bench/plot build/scratch/bench $$folder; \
	exit $$status

scale: module-$(newest) selftests deps-vm
	@selftests/vm/run --kernel $(newest) --memory 4G --timeout 1200 -- bench/scale

check: deps-build deps-check deps-programs $(addprefix deps-headers-,$(kernels)) lib tools
	@+scripts/check $(kernels)
	@$(MAKE) -C libheapdev check
	@$(MAKE) -s -C libheapdev-admin check

fuzz: deps-fuzz deps-build deps-vm deps-headers-debug
	@$(MAKE) -C selftests/block fuzz SECONDS=$(SECONDS)
	@$(MAKE) -C selftests/frontend fuzz SECONDS=$(SECONDS)
	@selftests/fuzz/run $(SECONDS)

# The runner's own limits of time are for the usual length.
stress: module-$(newest) selftests deps-vm
	@PRIVHEAP_STRESS_SECONDS=$(SECONDS) selftests/vm/run --kernel $(newest) \
		--cpus 2 --timeout $$((2 * $(SECONDS) + 900)) -- selftests/run-all stress

fuzz-check: deps-fuzz deps-vm module-6.12
	@selftests/fuzz/check

check-wine: module-$(newest) lib deps-vm deps-wine
	@$(MAKE) -s -C selftests/wine
	@selftests/wine/run --kernel $(newest)

load: root-only deps-build deps-headers-running deps-programs
	@$(as_user) $(MAKE) module-running demo
	@! [ -d /sys/module/privheap ] || rmmod privheap
	insmod build/$(release)/module/privheap.ko
	@demo/run

unload: root-only
	rmmod privheap

.PHONY: root-only
root-only:
	@[ "$$(id -u)" = 0 ] || { echo 'This needs root: sudo make $(MAKECMDGOALS)' >&2; exit 1; }

install: lib tools
	@$(MAKE) -C libheapdev install DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)'
	@$(MAKE) -C libheapdev-admin install DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)'
	@$(MAKE) -C tools install DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)'

clean:
	rm -rf build
