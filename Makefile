# Everything a person runs. The work is done in scripts/; see each file's head.

.PHONY: help setup dev kill check build build-faults build-example test chaos sim mutants proof bench bench-runner golden fuzz clean
.DEFAULT_GOAL := help

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

setup: ## Install what is missing for everything below
	@exec sh scripts/setup.sh test

dev: ## Serve at http://127.0.0.1:$PORT (8787), state in $STATE_DIR (.state); PROTOCOL §5 by environment
	@exec sh scripts/dev.sh

kill: ## Kill the runtime of the `make dev` with this PORT and STATE_DIR; it comes back by itself
	@. scripts/env.sh && exec node scripts/kill.mjs

build: ## Build the Worker into build/
	@exec sh scripts/build.sh

build-faults: ## Build it with the tests' faults into build-faults/
	@exec sh scripts/build.sh faults

build-example: ## Build the Workers of examples/
	@sh scripts/build.sh example custom-worker
	@exec sh scripts/build.sh example plain-worker

check: ## The inner loop: fmt, clippy and tests, natively
	@exec sh scripts/test.sh check

test: ## Run everything: fmt, clippy, native tests, Worker tests in workerd
	@exec sh scripts/test.sh

sim: ## Simulate: SEED= shows one run, RUNS= hunts from FIRST= on, for SECONDS= at least
	@exec sh scripts/sim.sh "$(SEED)" "$(RUNS)" "$(FIRST)" "$(SECONDS)"

mutants: ## Break the code on purpose, each fault or those of MUTANT=, and see who notices
	@. scripts/env.sh && exec node scripts/mutants.mjs "$(MUTANT)"

proof: build ## The long tier: simulator, mutants, model, chaos and fuzzing, over an hour
	@exec sh scripts/proof.sh

chaos: build ## Harm the built Workers for MINUTES (0.5), by SEED, and judge all that was read
	@sh scripts/build.sh example plain-worker
	@. scripts/env.sh && exec node --disable-warning=ExperimentalWarning chaos/run.mjs

fuzz: ## Fuzz the parsers, all or TARGET=, for SECONDS= each (60)
	@exec sh scripts/fuzz.sh long "$(TARGET)" "$(SECONDS)"

bench: build ## Measure the built Worker in workerd
	@. scripts/env.sh && exec node --disable-warning=ExperimentalWarning bench/run.mjs

bench-runner: ## Measure durable runs: in memory, on native SQLite, in objects, on D1
	@sh scripts/build.sh bench
	@. scripts/env.sh && exec node --disable-warning=ExperimentalWarning bench/runner.mjs

golden: build ## Write the golden files anew; read the diff before committing it
	@. scripts/env.sh && GOLDEN=update exec node --test miniflare/golden.test.mjs

clean: ## Remove what was built; node_modules, state and the user's cache stay
	@rm -rf build build-faults examples/*/build examples/*/build-faults examples/*/.wrangler bench/runner/build target .wrangler
