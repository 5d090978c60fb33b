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
FLAGS_asan := -O1 -g3 -fPIE -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FLAGS_tsan := -O1 -g3 -fPIE -fsanitize=thread
FLAGS_cover := -O0 -g3 -fPIE --coverage
VARIANT_FLAGS := $(FLAGS_$(VARIANT))
$(if $(VARIANT_FLAGS),,$(error VARIANT=$(VARIANT) is unknown; use release, debug, asan, tsan or cover))

CPPFLAGS_ALL := -D_GNU_SOURCE -DTANIST_VERSION='"$(VERSION)"' -I. $(CPPFLAGS)
CFLAGS_ALL := -std=c11 $(WARN) $(VARIANT_FLAGS) $(CFLAGS)
LDFLAGS_ALL := $(VARIANT_FLAGS) -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS)

# Third-party libraries, per part: the core gets none, not even their include paths.
PKG_base := libevent_core libconfig libcrypto jansson
PKG_agent := libnftnl libmnl
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
TOOLS := $(B)/tests/support/writer $(B)/tests/support/observer
PROGRAMS := $(B)/tanist-agent $(B)/tanist-witness $(B)/tanist

.PHONY: all check unit clean help
all: $(PROGRAMS) ## build the programs into build/VARIANT (default)

$(B)/tanist-agent: $(B)/agent/main.o $(AGENT) $(BASE) $(CORE)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_agent)
$(B)/tanist-witness: $(B)/witness/main.o $(WITNESS) $(BASE) $(CORE)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_base)
$(B)/tanist: $(CTL) $(BASE) $(CORE)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_base)
$(B)/tests/unit/%: $(B)/tests/unit/%.o $(AGENT) $(WITNESS) $(BASE) $(CORE)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_agent) $(call pkg,--libs,cmocka)
$(TOOLS): %: %.o
	$(CC) $(LDFLAGS_ALL) -o $@ $<
$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(PKG_FLAGS) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

unit: $(UNIT) ## run the unit tests
	@set -e; for t in $^; do echo "== $$t"; $$t; done

clean: ## remove what was built
	rm -rf build
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
