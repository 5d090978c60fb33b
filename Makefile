# SPDX-License-Identifier: Apache-2.0
# A file belongs to its part by its folder; adding a file needs no change here.
VARIANT ?= release
B := build/$(VARIANT)
VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= cc

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wswitch-enum -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wformat=2 -Wundef
ifdef CI
WARN += -Werror
endif
HARDEN := -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2
FLAGS_release := -O2 -g $(HARDEN)
FLAGS_debug := -O0 -g3 -fPIE
FLAGS_asan := -O1 -g1 -fPIE -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FLAGS_tsan := -O1 -g3 -fPIE -fsanitize=thread
FLAGS_cover := -O0 -g3 -fPIE --coverage
# clang's: assertions of what a fuzz target finds are told with a stack, and everything counts edges for libFuzzer
FLAGS_fuzz := -O1 -g -fPIE -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
VARIANT_FLAGS := $(FLAGS_$(VARIANT))
$(if $(VARIANT_FLAGS),,$(error VARIANT=$(VARIANT) is unknown; use release, debug, asan, tsan, cover or fuzz))

CPPFLAGS_ALL := -D_GNU_SOURCE -DTANIST_VERSION='"$(VERSION)"' -I. $(CPPFLAGS)
CFLAGS_ALL := -std=c11 $(WARN) $(VARIANT_FLAGS) $(CFLAGS)
LDFLAGS_ALL := $(VARIANT_FLAGS) -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS)

# A core that one process kept is taken up by another only if both lay it out alike (L10).
CORE_LAYOUT := 0x$(shell cat common/core/types.h common/core/limits.h common/core/voter.h common/core/core.h | cksum | xargs printf '%08x%.0s%.0s')
$(B)/common/base/reign.o: CPPFLAGS_ALL += -DCORE_LAYOUT=$(CORE_LAYOUT)U
$(B)/common/base/reign.o: Makefile common/core/types.h common/core/limits.h common/core/voter.h common/core/core.h

# Third-party libraries, per part: the core gets none, not even their include paths.
PKG_base := libevent_core libconfig libcrypto jansson
PKG_agent := libssl libnftnl libmnl libsystemd libpq libxml-2.0
pkg = $(shell pkg-config $(1) $(2))
$(B)/common/base/%.o: PKG_FLAGS = $(call pkg,--cflags,$(PKG_base))
$(B)/agent/%.o: PKG_FLAGS = $(call pkg,--cflags,$(PKG_agent))
$(B)/tests/%.o: PKG_FLAGS = $(call pkg,--cflags,$(PKG_base) $(PKG_agent) cmocka)
LIBS_base = $(call pkg,--libs,$(PKG_base))
LIBS_agent = $(LIBS_base) $(call pkg,--libs,$(PKG_agent))

objects = $(patsubst %.c,$(B)/%.o,$(1))
CORE := $(call objects,$(wildcard common/core/*.c))
BASE := $(call objects,$(wildcard common/base/*.c))
CTL := $(call objects,$(wildcard agent/ctl*.c))
AGENT := $(filter-out $(CTL) $(B)/agent/main.o,$(call objects,$(wildcard agent/*.c)))
WITNESS := $(filter-out $(B)/witness/main.o,$(call objects,$(wildcard witness/*.c)))
UNIT := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))
SIM := $(B)/tests/sim/sim
SCENARIO := $(call objects,$(wildcard tests/scenario/*.c))
EXPLORE := $(B)/tests/explore/explore
WORLD := $(filter-out %/runner.o %/table.o %/failures.o,$(SCENARIO))
# The library: libc alone, with the three files of common/base that it stands on; only what tanist.h names is seen.
CLIENT := $(patsubst %.c,$(B)/pic/%.o,$(wildcard common/client/*.c) common/base/durable.c common/base/slot.c common/base/crc.c)
PAGE := $(patsubst %,$(B)/common/client/%.o,page orphan keep)
PAGES := $(call objects,$(wildcard common/client/*.c))
LIBRARY := $(B)/libtanist.so $(B)/libtanist.a
TRACECHECK := $(B)/tests/trace/tracecheck
TRACE := $(filter-out $(TRACECHECK).o,$(call objects,$(wildcard tests/trace/*.c)))
# Fuzz targets: with libFuzzer's main in VARIANT=fuzz, else with one that replays kept inputs.
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_PARTS := $(patsubst %,$(B)/tests/fuzz/%.o,$(if $(filter fuzz,$(VARIANT)),,replay) cluster daemon input slot)
FUZZ_MAIN_fuzz := -fsanitize=fuzzer
TOOLS := $(patsubst %,$(B)/tests/support/%,asker observer writer relay flood) $(B)/tests/support/wallclock.so $(patsubst %,$(B)/tests/broker/%,broker produce consume republish)
# What tests link of everything: an archive, so that each links what it calls and no more.
PARTS := $(B)/parts.a
PROGRAMS := $(B)/tanist-agent $(B)/tanist-witness $(B)/tanist

# The core once more, without optimisation, which can hide a call: for `pure`.
PURE := $(patsubst %.c,build/pure/%.o,$(wildcard common/core/*.c))
PURE_CALLS := memcpy|memset|memcmp|memmove|__assert_fail
SOURCES = $(shell git ls-files '*.c' '*.h')
JOBS ?= $(shell nproc)
# The configuration's place is fixed, not under PREFIX: the programs look there. What a package puts elsewhere:
LIBDIR ?= $(PREFIX)/lib
UNITDIR ?= $(PREFIX)/lib/systemd/system
EXAMPLES ?= /etc/tanist
# Other names of packaging/ocf/crm_attribute: a cluster manager's commands, as resource agents call them.
OCF_STANDINS := $(filter-out crm_attribute,$(notdir $(wildcard packaging/ocf/*)))
SHARE := $(DESTDIR)$(PREFIX)/share

.PHONY: all analyze bench completions deb packaging rpm bench-clients bench-broker bench-client bench-failover bench-fence check clean demo explore format help install matrix mutate mutate-short netns netns-ready netns-short netns-short-e2e netns-short-fence outside pure scenario sim tidy tools unit trial
all: $(PROGRAMS) $(LIBRARY) ## build programs and library into build/VARIANT (default)

$(B)/libtanist.so: $(CLIENT)
	$(CC) $(filter-out -pie,$(LDFLAGS_ALL)) -shared -Wl,-soname,libtanist.so.0 -o $@ $^
	@ln -sf $(@F) $@.0
$(B)/libtanist.a: $(CLIENT)
	ld -r -o $(B)/pic/libtanist.o $^
	objcopy --localize-hidden $(B)/pic/libtanist.o
	rm -f $@
	ar rcs $@ $(B)/pic/libtanist.o
$(B)/pic/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -fPIC -MMD -MP -c -o $@ $<
$(B)/pic/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<

$(B)/tanist-agent: $(B)/agent/main.o $(AGENT) $(PAGE) $(BASE) $(CORE)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_agent)
$(B)/tanist-witness: $(B)/witness/main.o $(WITNESS) $(BASE) $(CORE)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_base)
# What the doctor tries out: the fence, and who answers for an address.
DOCTOR := $(filter $(patsubst %,$(B)/agent/%.o,fence% node_option bpf tc rtnl_ask announce neighbour),$(AGENT))
$(B)/tanist: $(CTL) $(DOCTOR) $(B)/agent/orphans.o $(filter-out %/page.o,$(PAGE)) $(BASE) $(CORE)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_agent)
# A recording stand-in for the file with the system calls.
$(B)/tests/unit/test_watchdog: $(B)/tests/unit/test_watchdog.o $(B)/agent/watchdog.o
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(call pkg,--libs,cmocka)
LINKED = $(filter %.o,$^) $(filter %.a,$^)
# Thin, and by quick append: it holds no copies, and some files of two parts have one name.
$(PARTS): $(filter-out $(B)/agent/ctl.o,$(CTL)) $(AGENT) $(WITNESS) $(PAGES) $(BASE) $(CORE)
	@rm -f $@
	ar qcsT $@ $^
$(B)/tests/unit/%: $(B)/tests/unit/%.o $(PARTS)
	$(CC) $(LDFLAGS_ALL) -o $@ $(LINKED) $(LIBS_agent) $(call pkg,--libs,cmocka)
$(B)/tests/unit/test_tracecheck: $(TRACE)
# What NAME_bed.c has is for test_NAME and test_NAME_*.
UNIT_BEDS := $(patsubst tests/unit/%_bed.c,%,$(wildcard tests/unit/*_bed.c))
bed_of = $(filter $(B)/tests/unit/test_$(1) $(B)/tests/unit/test_$(1)_%,$(UNIT)): $(B)/tests/unit/$(1)_bed.o
$(foreach bed,$(UNIT_BEDS),$(eval $(call bed_of,$(bed))))
$(B)/tests/support/%: $(B)/tests/support/%.o $(PARTS)
	$(CC) $(LDFLAGS_ALL) -o $@ $(LINKED) $(LIBS_agent)
# What of the base it takes: the ballot's real reader and writer, and the epoch history.
SIM_BASE := $(call objects,$(addsuffix .c,$(addprefix common/base/,ballot durable slot crc) common/client/history common/client/keep))
$(SIM): $(call objects,$(wildcard tests/sim/*.c)) $(SIM_BASE) $(CORE)
	$(CC) $(LDFLAGS_ALL) -o $@ $^
$(B)/tests/scenario/runner: $(SCENARIO) $(BASE) $(CORE)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_base)
$(EXPLORE): $(call objects,$(wildcard tests/explore/*.c)) $(WORLD) $(BASE) $(CORE)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_base)
$(FUZZERS): %: %.o $(FUZZ_PARTS) $(PARTS)
	$(CC) $(LDFLAGS_ALL) $(FUZZ_MAIN_$(VARIANT)) -o $@ $(LINKED) $(LIBS_agent)
$(TRACECHECK): $(TRACECHECK).o $(TRACE) $(B)/common/base/trace.o $(B)/common/base/trace_field.o $(CORE)
	$(CC) $(LDFLAGS_ALL) -o $@ $^
$(B)/tests/client/makepages: $(B)/tests/client/makepages.o $(B)/common/client/page.o
	$(CC) $(LDFLAGS_ALL) -o $@ $^
$(B)/tests/bench/client: $(B)/tests/bench/client.o $(B)/common/client/page.o $(LIBRARY)
	$(CC) $(LDFLAGS_ALL) -Wl,-rpath,'$$ORIGIN/../..' -o $@ $(filter-out %.a,$^)
$(B)/tests/support/wallclock.so: $(B)/pic/tests/support/wallclock.o
	$(CC) $(filter-out -pie,$(LDFLAGS_ALL)) -shared -o $@ $<
# The reference broker links what a user's would: libtanist and libevent.
WIRE := $(B)/tests/broker/frame.o
$(B)/tests/broker/broker: $(patsubst %,$(B)/tests/broker/%.o,duty serve follow log) $(WIRE) $(B)/common/base/crc.o
$(patsubst %,$(B)/tests/broker/%,produce consume republish): $(B)/tests/broker/reach.o $(WIRE)
$(filter $(B)/tests/broker/%,$(TOOLS)): %: %.o $(B)/libtanist.a
	$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(call pkg,--libs,libevent_core)
$(filter-out %.so,$(filter $(B)/tests/support/%,$(TOOLS))): %: %.o
	$(CC) $(LDFLAGS_ALL) -o $@ $<
$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(PKG_FLAGS) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

build/pure/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) -std=c11 $(WARN) -O0 -fno-pie -fno-stack-protector -MMD -MP -c -o $@ $<

tools: $(TOOLS) $(TRACECHECK) $(B)/tests/bench/client # what the tests in namespaces run beside the programs
unit: $(UNIT) ## run the unit tests
	@python3 -B tests/unit/run.py $^
# Not in the tree and not by its flags: as somebody else would.
STAGE := $(CURDIR)/build/stage/$(VARIANT)
outside: all $(B)/tests/client/makepages ## build and run what links libtanist as `make install` puts it down, in C and C++
	@rm -rf $(STAGE)
	@$(MAKE) --no-print-directory install DESTDIR=$(STAGE) PREFIX=/opt/tanist LIBDIR=/opt/tanist/lib >/dev/null
	@python3 -B tests/client/outside.py $(B)/tests/client/makepages $(STAGE) /opt/tanist "$(CC)" "$(or $(CXX),c++)"
scenario: $(B)/tests/scenario/runner ## play the scenario dialogues (REWRITE=1: take what happens as expected)
	tests/scenario/run $(B)
sim: $(SIM) ## simulate clusters under chaos (SEED=1 RUNS=...)
	@tests/sim/run $(SIM) $(or $(SEED),1) $(RUNS)
mutate: ## break the protocol in one place at a time and see that a test notices (NAMES=... REWRITE=1)
	@python3 -B tests/mutate/mutate.py $(if $(REWRITE),--rewrite) $(NAMES)
mutate-short: # that every mutation still applies and compiles
	@python3 -B tests/mutate/mutate.py --short
	@python3 -B tests/mutate/test_table.py
explore: $(EXPLORE) ## try every small history of a cluster (STATES=2000000, DEPTH= the cost of a history at most)
	@$(EXPLORE) --history $(B)/tests/explore/history.txt $(if $(STATES),--states $(STATES)) $(if $(DEPTH),--depth $(DEPTH))
trial: all tools ## hold real brokers through random faults (MINUTES=10 SEED= DRIVER=library|redis)
	python3 -B tests/netns/trial.py --driver $(or $(DRIVER),library) --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))
bench: ## all benchmarks in short forms, as one table on stdout (some minutes)
	@$(MAKE) --no-print-directory -j$(JOBS) all tools $(PROBES) $(B)/tests/bench/client >&2
	@packaging/install-dependencies demo bench >&2 || echo "what is missing is skipped" >&2
	@python3 -B tests/bench/all.py "$(MAKE) --no-print-directory"
bench-broker: all tools ## measure what a synchronous pair of the reference broker takes (COUNT= SIZE=)
	@python3 -B tests/netns/bench_broker.py $(or $(COUNT),100000) $(or $(SIZE),200)
bench-clients: all tools ## measure how soon clients that only listen are back after a take-over
	@python3 -B tests/netns/bench_clients.py
bench-client: $(B)/tests/bench/client ## measure what libtanist costs on a message's path
	@$<
bench-failover: all tools ## measure write gaps at failover, beside keepalived and Redis Sentinel (RUNS=10 ONLY=Tanist,...)
	@packaging/install-dependencies demo bench || echo "what is missing is skipped"
	@python3 -B tests/bench/failover.py --runs $(or $(RUNS),10) $(if $(ONLY),--only "$(ONLY)")
pure: $(PURE) ## see that the core calls nothing but memcpy and its like, and keeps no state of its own
	@$(CC) -r -nostdlib -no-pie -o build/pure/core.o $^
	@! nm -u build/pure/core.o | grep -vE ' ($(PURE_CALLS))$$'
	@! nm build/pure/core.o | grep -E ' [bBcCdD] '
PROBES := $(patsubst %,$(B)/tests/support/%_probe,broker fence vip)
# MATRIX: pairs of faults of each row, or all (hours); SEED draws them.
MATRIX ?= 2
netns: netns-ready ## run all tests in network namespaces, suites and the fault matrix (MATRIX=2|all SEED=1)
	@packaging/install-dependencies build test demo postgresql activemq || echo "what is missing is skipped"
	python3 -B tests/netns/run.py
	python3 -B tests/packaging/tutorial_test.py $(B)
	@set -e; for suite in fence vip redis; do python3 -B tests/netns/$${suite}_test.py; done
	tests/netns/driver_suite
	@set -e; for fence in bpf netlink; do python3 -B tests/netns/run.py --fence $$fence; done
	@$(MAKE) --no-print-directory matrix
matrix: all tools ## play the fault matrix alone
	python3 -B tests/netns/matrix.py --seed $(or $(SEED),1) $(if $(filter all,$(MATRIX)),--all,--each $(MATRIX))
netns-ready: all tools $(PROBES)
netns-short-e2e: netns-ready
	python3 -B tests/netns/run.py --short --jobs 4
netns-short-fence: netns-ready
	python3 -B tests/netns/fence_test.py --short
	tests/netns/driver_suite --short --jobs 6
	python3 -B tests/netns/run.py --fence bpf agent.agent_stopped agent.master_cut
netns-short: netns-short-e2e netns-short-fence
bench-fence: tools $(PROBES) ## measure each mechanism of the kernel fence (RUNS=100: how often a lease ends)
	@python3 -B tests/netns/fence_bench.py --runs $(or $(RUNS),100)
fuzzers: $(FUZZERS)
fuzz-replay: $(FUZZERS) ## play the kept inputs of all fuzz targets (VARIANT=asan: with the sanitizers)
	@tests/fuzz/run replay $(B)
fuzz: ## fuzz with clang and libFuzzer, each target SECONDS=60 long (TARGET=wire: that one alone)
	@tests/fuzz/run check-clang
	@$(MAKE) --no-print-directory -j$(JOBS) VARIANT=fuzz CC=clang fuzzers
	@tests/fuzz/run fuzz build/fuzz $(or $(SECONDS),60) $(TARGET)
fuzz-keep: ## take what `make fuzz` has found new into the kept inputs, as few as reach the same
	@tests/fuzz/run keep build/fuzz $(TARGET)
check: ## install what is missing, build, run the tests that take minutes; ends with 'N passed, N failed'
	@packaging/install-dependencies
	@python3 -B tests/check.py $(MAKE) --no-print-directory -j$(JOBS) $(MAKEOVERRIDES)
demo: ## install what is missing, build, show a Redis pair fail over (KEEP=1 leaves it running)
	@packaging/install-dependencies build demo
	@$(MAKE) --no-print-directory -j$(JOBS) all tools
	@KEEP=$(KEEP) python3 -B tests/netns/demo.py

install: all ## install under DESTDIR and PREFIX; a configuration in use is never touched
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/sbin $(B)/tanist-agent $(B)/tanist-witness
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin $(B)/tanist
	install -D -m 644 common/client/tanist.h $(DESTDIR)$(PREFIX)/include/tanist.h
	install -D -m 755 $(B)/libtanist.so $(DESTDIR)$(LIBDIR)/libtanist.so.0
	install -D -m 644 -t $(DESTDIR)$(LIBDIR) $(B)/libtanist.a
	ln -sf libtanist.so.0 $(DESTDIR)$(LIBDIR)/libtanist.so
	install -d -m 755 $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(EXAMPLES) $(DESTDIR)$(UNITDIR)
	sed 's|@prefix@|$(PREFIX)|; s|@libdir@|$(LIBDIR)|; s|@version@|$(VERSION)|' common/client/tanist.pc.in \
	  >$(DESTDIR)$(LIBDIR)/pkgconfig/tanist.pc
	for f in $(wildcard etc/*.conf); do install -m 644 $$f $(DESTDIR)$(EXAMPLES)/$$(basename $$f).example; done
	install -m 644 etc/tanist.conf.example $(DESTDIR)$(EXAMPLES)
	install -D -m 755 -t $(DESTDIR)$(EXAMPLES)/drivers $(wildcard etc/drivers/*)
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/lib/tanist/ocf packaging/ocf/crm_attribute
	for n in $(OCF_STANDINS); do ln -sf crm_attribute $(DESTDIR)$(PREFIX)/lib/tanist/ocf/$$n; done
	for f in $(wildcard packaging/man/*.[1-8]); do install -D -m 644 -t $(SHARE)/man/man$${f##*.} $$f; done
	install -D -m 644 packaging/completions/tanist.bash $(SHARE)/bash-completion/completions/tanist
	install -D -m 644 -t $(SHARE)/zsh/vendor-completions packaging/completions/_tanist
	install -D -m 644 -t $(SHARE)/fish/vendor_completions.d packaging/completions/tanist.fish
	for f in packaging/systemd/*.service; do \
	  sed 's|@sbindir@|$(PREFIX)/sbin|' $$f >$(DESTDIR)$(UNITDIR)/$${f##*/}; done
	install -D -m 644 packaging/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/tanist.conf
completions: all ## write the shell completions anew, from what tanist --help says
	python3 -B packaging/completions/generate.py $(B)/tanist
packaging: all # whether what is packaged agrees with the programs, within a second
	@python3 -B tests/packaging/static_test.py $(B)
deb: ## build Debian packages into build/deb, out of a copy of the tree, and try them
	@packaging/install-dependencies build package
	@packaging/build-package deb
	@python3 -B tests/packaging/deb_test.py build/deb
rpm: ## build RPM packages into build/rpm, out of a copy of the tree, and look into them
	@packaging/install-dependencies build package
	@packaging/build-package rpm
	@python3 -B tests/packaging/rpm_test.py build/rpm
tidy: ## read the code with clang-tidy
	clang-tidy --quiet $(filter %.c,$(SOURCES)) -- -std=c11 -DCORE_LAYOUT=$(CORE_LAYOUT)U $(CPPFLAGS_ALL) \
	  $(call pkg,--cflags,$(PKG_base) $(PKG_agent) cmocka)
analyze: ## read the code with cppcheck
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
	  --suppressions-list=tests/tidy/cppcheck.txt -DCORE_LAYOUT=$(CORE_LAYOUT)U $(CPPFLAGS_ALL) $(filter %.c,$(SOURCES))
format: ## lay the code out by .clang-format
	clang-format -i $(SOURCES)
clean: ## remove what was built
	rm -rf build
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

.SECONDARY:
-include $(shell find $(B) build/pure -name '*.d' 2>/dev/null)
