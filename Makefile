# pgml_auto - in-database machine learning for PostgreSQL
#
#   make demo        install what is missing, build, and show the main job on a throw-away cluster
#   make test        install what is missing, build, and run every test
#   make             build only (needs the server headers of PG_CONFIG's PostgreSQL)
#   make install     into that PostgreSQL
#   make test-long   the long versions: fuzzing, crash and leak rounds, a server under sanitizers

EXTENSION  = pgml_auto
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(srcdir)/$(EXTENSION).control)
MODULE_big = $(EXTENSION)

srcdir ?= .

PG_CONFIG ?= pg_config

.DEFAULT_GOAL := all

# No PostgreSQL header may be needed to compile these.
CORE_DIRS = core data stats prep learner search model
CORE_SRCS = $(sort $(foreach d,$(CORE_DIRS),$(wildcard $(srcdir)/src/$(d)/*.c)))
GLUE_SRCS = $(sort $(wildcard $(srcdir)/src/pg/*.c) $(wildcard $(srcdir)/src/worker/*.c))
OBJS      = $(patsubst $(srcdir)/%.c,%.o,$(CORE_SRCS) $(GLUE_SRCS))

DATA       = $(wildcard $(srcdir)/sql/upgrade/*--*--*.sql)
DATA_built = sql/$(EXTENSION)--$(EXTVERSION).sql

# The server's headers are not ours to warn about.
PG_CPPFLAGS = -I$(srcdir)/src -isystem $(shell $(PG_CONFIG) --includedir-server 2>/dev/null) \
              -DPGML_VERSION='"$(EXTVERSION)"'
# -ffp-contract=off: the same bytes on every CPU, whatever clone of a kernel runs.
PG_CFLAGS   = -std=gnu11 -O3 -ffp-contract=off -fvisibility=hidden -pthread \
              -Wno-declaration-after-statement -Wvla $(WERROR)
SHLIB_LINK  = -pthread -ldl -lm

# Lines of progress come when the clock says so: not in expected output.
installcheck: export PGOPTIONS := -c pgml_auto.progress_interval=0 $(PGOPTIONS)

REGRESS        = $(patsubst $(srcdir)/test/sql/%.sql,%,$(sort $(wildcard $(srcdir)/test/sql/*.sql)))
REGRESS_OPTS   = --inputdir=$(srcdir)/test
ISOLATION      = $(patsubst $(srcdir)/test/isolation/specs/%.spec,%,$(sort $(wildcard $(srcdir)/test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=$(srcdir)/test/isolation --outputdir=output_iso
TAP_TESTS      = 1
PROVE_TESTS    = test/t/*.pl

EXTRA_CLEAN = sql/$(EXTENSION)--$(EXTVERSION).sql results log tmp_check tmp_check_iso output_iso \
              regression.diffs regression.out build

# PGXS compiles LLVM bitcode without PG_CFLAGS; the JIT would inline a different build of this code.
override with_llvm = no

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

# The script targets install what is missing first, so they must work before PGXS is there.
.PHONY: demo test test-long unit fuzz fuzz-build lint
demo:
	@test/run demo
test:
	@test/run test
test-long:
	@test/run test-long

ifneq ($(wildcard $(PGXS)),)
# PostgreSQL 15 and older define PGDLLEXPORT as nothing.
ifeq ($(shell test "`$(PG_CONFIG) --version | sed 's/[^0-9]*\([0-9]*\).*/\1/'`" -le 15 && echo old),old)
PG_CPPFLAGS += '-DPGDLLEXPORT=__attribute__((visibility("default")))'
endif

all: $(DATA_built)
include $(PGXS)

# VPATH builds need the object folders before the first compile.
$(shell mkdir -p $(sort $(dir $(OBJS))) sql)

# PGXS tracks no headers; ours are few and everything depends on them.
$(OBJS): $(wildcard $(srcdir)/src/*/*.h)

# Objects for one PostgreSQL must not end up in the library of another: they depend on a file that changes with it.
$(OBJS): build/built_for
build/built_for: FORCE
	@mkdir -p $(@D)
	@$(PG_CONFIG) --bindir --version | cmp -s - $@ || $(PG_CONFIG) --bindir --version > $@
.PHONY: FORCE
else
all install uninstall installcheck:
	$(error $(if $(PGXS),$(PGXS),$(PG_CONFIG)) not found: install postgresql-server-dev-15, or give PG_CONFIG=...)
clean:
	rm -rf $(EXTRA_CLEAN) $(OBJS) $(MODULE_big).so
.PHONY: all install uninstall installcheck clean
endif

sql/$(EXTENSION)--$(EXTVERSION).sql: $(sort $(wildcard $(srcdir)/sql/parts/*.sql)) $(srcdir)/$(EXTENSION).control
	cat $(sort $(wildcard $(srcdir)/sql/parts/*.sql)) > $@

# ---- the PostgreSQL-free half, alone --------------------------------------------------------
SAN         ?= -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
# cmocka 2 calls assertions deprecated whose successors cmocka 1 has not.
UNIT_CFLAGS  = -std=gnu11 -O1 -g -ffp-contract=off -pthread -Wall -Wextra -Werror -Wno-error=deprecated-declarations \
               -Wvla -I$(srcdir)/src -I$(srcdir)/test/unit
UNIT_SRCS    = $(sort $(wildcard $(srcdir)/test/unit/*.c))
UNIT_OBJS    = $(patsubst $(srcdir)/%.c,build/unit/%.o,$(CORE_SRCS) $(UNIT_SRCS))

build/unit/%.o: $(srcdir)/%.c $(wildcard $(srcdir)/src/*/*.h) $(wildcard $(srcdir)/test/unit/*.h)
	@mkdir -p $(dir $@)
	$(CC) $(UNIT_CFLAGS) $(SAN) -c -o $@ $<

build/unit/unit: $(UNIT_OBJS)
	$(CC) $(SAN) -pthread -o $@ $^ -lcmocka -ldl -lm

# Modules side by side, the output of each in one piece.
unit: build/unit/unit
	@build/unit/unit --list | xargs -P "`nproc`" -I {} sh -c 'build/unit/unit {} >build/unit/{}.log 2>&1; status=$$?; \
		flock build/unit/output cat build/unit/{}.log; exit $$status'

FUZZ_SRCS    = $(sort $(wildcard $(srcdir)/test/fuzz/fuzz_*.c))
FUZZ_BINS    = $(patsubst $(srcdir)/test/fuzz/%.c,build/fuzz/%,$(FUZZ_SRCS))
FUZZ_OBJS    = $(patsubst $(srcdir)/%.c,build/fuzz/%.o,$(CORE_SRCS))
FUZZ_SAN     = -fsanitize=address,undefined -fno-sanitize-recover=undefined
FUZZ_SECONDS ?= 10
FUZZ_CC      ?= clang

# Compiled once for all targets; only a target itself brings the fuzzer's main.
build/fuzz/%.o: $(srcdir)/%.c $(wildcard $(srcdir)/src/*/*.h)
	@mkdir -p $(dir $@)
	$(FUZZ_CC) $(UNIT_CFLAGS) -Wno-error $(FUZZ_SAN) -fsanitize=fuzzer-no-link -c -o $@ $<

build/fuzz/fuzz_%: $(srcdir)/test/fuzz/fuzz_%.c $(FUZZ_OBJS)
	$(FUZZ_CC) $(UNIT_CFLAGS) -Wno-error $(FUZZ_SAN) -fsanitize=fuzzer -o $@ $^ -ldl -lm

fuzz-build: $(FUZZ_BINS)

fuzz: fuzz-build
	@for f in $(FUZZ_BINS); do \
		n=`basename $$f`; mkdir -p build/corpus/$$n; \
		seeds=; test -d $(srcdir)/test/fuzz/corpus/$$n && seeds=$(srcdir)/test/fuzz/corpus/$$n; \
		echo "fuzzing $$n for $(FUZZ_SECONDS) s"; \
		$$f -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
			build/corpus/$$n $$seeds || exit 1; \
	done

LINTS = $(patsubst $(srcdir)/test/lint/%.sh,lint-%,$(sort $(wildcard $(srcdir)/test/lint/*.sh)))
.PHONY: $(LINTS)
lint: $(LINTS)
$(LINTS): lint-%:
	@echo "lint: $*"; sh $(srcdir)/test/lint/$*.sh
