# Everything works from a fresh Debian with Python 3.11 by `make demo` and `make test`; both make .venv on need.
# Python 3.11 may be called something else: make PYTHON=/path/to/python3.11 demo

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEMO   := .demo
TORCH  := 2.13.0
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test lint format bench bench-planners bench-asynchrony validate clean constraints
help:
	@echo "make demo      run a campaign on real measurements, through Prefect, and write its report"
	@echo "make test      lint and all tests"
	@echo "make lint      ruff, mypy, import-linter"
	@echo "make bench     measure speed; prints a table"
	@echo "make bench-planners  our planner against Ax, BayBE, Optuna and plain BoTorch: hours; ARGS='--seeds 5' (docs/planner-benchmark.md)"
	@echo "make bench-asynchrony  8 simulated instruments, asynchronous against batches of 8, in virtual time: some minutes"
	@echo "make validate  long checks: planners against random over 20 seeds"
	@echo "make clean     remove the environment and the demo's ledger"

# The environment is made anew only when what it is made of changes.
$(READY): pyproject.toml setup.py constraints.txt scripts/make_environment
	@scripts/make_environment "$(PYTHON)" "$(VENV)" "$(TORCH)" "$(TORCH_CPU_INDEX)"
	@touch $@

# Every run has a name of its own, so that the demo can be run again; the Prefect server stays for the next one.
demo: $(READY)
	@$(BIN)/sdl run campaigns/opv_photostability.yaml --home $(DEMO) --name "opv-$$(date +%Y%m%d-%H%M%S)"
	@echo "the Prefect server of the demo goes on running; end it with: $(BIN)/sdl server stop --home $(DEMO)"

test: lint
	@$(BIN)/pytest -q -n 2 --dist loadgroup

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@MYPYPATH=$(VENV)/types $(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY)
	@$(BIN)/ruff check --fix-only -q . ; $(BIN)/ruff format -q .

bench: $(READY)
	@$(BIN)/python benchmarks/bench.py

# The other libraries, in versions that change none of ours.
PEERS := $(VENV)/.peers
$(PEERS): $(READY)
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[peers]'
	@touch $@

bench-planners: $(PEERS)
	@PYTHONPATH=benchmarks $(BIN)/python -m planners $(ARGS)

bench-asynchrony: $(READY)
	@PYTHONPATH=benchmarks $(BIN)/python -m planners.asynchrony $(ARGS)

validate: $(READY)
	@$(BIN)/pytest -q -m validate --timeout 7200

constraints: $(READY)
	@scripts/freeze "$(BIN)/python" > constraints.txt.new && mv constraints.txt.new constraints.txt

clean:
	@if [ -x $(BIN)/sdl ] && [ -d $(DEMO) ]; then $(BIN)/sdl server stop --home $(DEMO); fi
	rm -rf $(VENV) $(DEMO)
