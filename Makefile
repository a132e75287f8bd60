# Four words run everything: make demo, make test, make lint, make format. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help demo test pure lint format bench docs soak lock browser clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/ready ## run seven nations on this machine; ARGS="--headless --report r.json" passes arguments on
	$(BIN)/relto demo $(ARGS)

test: $(VENV)/ready-dev browser ## run all tests
	PYTHONHASHSEED=1 $(BIN)/python -m pytest -m pure -n 2 --dist loadfile tests
	PYTHONHASHSEED=2 $(BIN)/python -m pytest -n 2 --dist loadfile tests $(ARGS)

pure: $(VENV)/ready-dev ## run the tests of the pure parts only
	$(BIN)/python -m pytest -m pure -n 2 --dist loadfile tests $(ARGS)

lint: $(VENV)/ready-dev ## check form, types and the order of the parts
	$(BIN)/ruff format --check src tests bench
	$(BIN)/ruff check src tests bench
	$(BIN)/mypy --strict src/relto
	$(BIN)/lint-imports

format: $(VENV)/ready-dev ## bring the code into its form
	$(BIN)/ruff format src tests bench
	$(BIN)/ruff check --fix src tests bench

bench: $(VENV)/ready-dev ## measure against peers and bare floors, and write docs/benchmarks.md
	$(BIN)/python -m bench $(ARGS)

docs: $(VENV)/ready-dev ## check that the documentation is complete and its links hold
	$(BIN)/python -m pytest tests/test_docs.py

soak: $(VENV)/ready-dev ## kill real nodes 2,100 times, compare 100,000 cells with the oracle, simulate 100,000 networks
	RELTO_KILLS=1000 $(BIN)/python -m pytest tests/node/test_crashing.py
	RELTO_KILLS=50 RELTO_CELLS=100000 $(BIN)/python -m pytest tests/node/test_kill.py tests/release/test_against_oracle.py
	$(BIN)/relto simulate --seeds 100000 --jobs 2

lock: $(VENV)/ready-dev ## resolve the dependencies anew into hashed locks without index addresses
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate --extra build -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate --extra build --extra dev -o requirements-dev.lock pyproject.toml

browser: $(VENV)/ready-dev
	@tools/browser.sh $(BIN)

clean: ## remove the environment and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist

$(VENV)/bin/python:
	@tools/venv.sh $(PYTHON) $(VENV)

$(VENV)/ready: requirements.lock pyproject.toml | $(VENV)/bin/python
	@tools/install.sh $(VENV) requirements.lock
	@touch $@

$(VENV)/ready-dev: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	@tools/install.sh $(VENV) requirements-dev.lock
	@touch $@ $(VENV)/ready
