# `make app` and `make test` need nothing but Python 3.11 or later, git and make.
# `make app TORCH=cpu` takes PyTorch's CPU build, a fraction of the size of the one with CUDA.
# `make app LOCKED=1` takes exactly the versions of requirements.lock, checked by their hashes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
TORCH ?=
TORCH_INDEX ?= https://download.pytorch.org/whl
LOCKED ?=
# An environment keeps a mark of what is installed; one with locked versions has marks of its own.
MARK := $(if $(LOCKED),-locked)
UPGRADE ?=
COMPILE = UV_CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/uv pip compile -q --universal \
	--python-version 3.11 --generate-hashes $(if $(UPGRADE),--upgrade)

.PHONY: app test test-long test-cluster test-flower torture hostile load lint format docs audit \
	bench-check lock clean

app: $(VENV)/.app$(MARK)
	$(BIN)/streamlit run streamlit_app.py

test: $(VENV)/.dev$(MARK)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not long and not cluster and not flower' -n $(WORKERS) --dist loadfile --durations=15

test-long: $(VENV)/.dev$(MARK)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'long and not cluster and not flower' -n $(WORKERS) --dist loadfile --durations=15

# Ray's nodes are on this machine; the tests run one after the other.
test-cluster: $(VENV)/.cluster$(MARK)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m cluster --durations=5

# Each is seeded and bounded, and fails with what it found: docs/reliability.md.
SEED ?= 1
KILLS ?= 200
INPUTS ?= 2000
MINUTES ?= 20

torture: $(VENV)/.dev$(MARK)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.torture --seed $(SEED) --kills $(KILLS) --minutes $(MINUTES)

hostile: $(VENV)/.dev$(MARK)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.hostile --seed $(SEED) --inputs $(INPUTS) --minutes $(MINUTES)

load: $(VENV)/.dev$(MARK)
	$(BIN)/python -m tests.browser.load --pages 20 --minutes 10

# In an environment of its own: Flower needs older versions of protobuf and FastAPI.
test-flower: $(VENV)-flower/.flower
	OMP_NUM_THREADS=1 $(VENV)-flower/bin/python -m pytest -m flower --durations=5

lint: $(VENV)/.dev$(MARK)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev$(MARK)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs$(MARK)
	$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs . build/site
	@echo 'The pages are in build/site: open build/site/index.html'

# Known vulnerabilities of the locked packages, and the licences of the installed ones.
audit: $(VENV)/.dev$(MARK)
	$(BIN)/python .ci/audit.py

# How much faster the fast paths are than the plain ones, against assets/bench/ratios.json.
bench-check: $(VENV)/.dev$(MARK)
	OMP_NUM_THREADS=1 $(BIN)/python -m mocoop.bench.ratios $(if $(WRITE),--write)

# Writes both locks anew, for Python 3.11 and later on every system. Versions stay as they are
# where the ranges allow; `make lock UPGRADE=1` takes the newest ones.
lock: | $(BIN)/python
	$(BIN)/python -m pip install -q uv
	$(COMPILE) requirements.txt -o requirements.lock
	$(COMPILE) -c requirements.lock requirements-dev.txt requirements-cluster.txt \
		requirements-docs.txt -o requirements-dev.lock

clean:
	rm -rf $(VENV) $(VENV)-flower build docs/api

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'MoCoOp needs Python 3.11 or later: make PYTHON=/path/to/python3.11'; exit 1; }
	$(PYTHON) -m venv $(VENV)

# What is installed: the ranges of a file, or a lock. A build of torch of one's own is installed
# before, and then the packages of CUDA are left out of the lock.
ifeq ($(LOCKED),)
install = $(BIN)/python -m pip install -r $(1)
TORCH_WANTED = grep '^torch' requirements.txt
else
install = awk '/^[a-z0-9]/ {skip = "$(TORCH)" && /^(nvidia|cuda|triton)/} !skip' $(2) >$(VENV)/$(2) \
	&& $(BIN)/python -m pip install --require-hashes -r $(VENV)/$(2)
TORCH_WANTED = grep -o '^torch[a-z]*==[^ ;]*' requirements.lock
endif

$(VENV)/.app$(MARK): requirements.txt $(if $(LOCKED),requirements.lock) pyproject.toml | $(BIN)/python
ifneq ($(TORCH),)
	$(BIN)/python -m pip install --index-url $(TORCH_INDEX)/$(TORCH) $$($(TORCH_WANTED))
	touch $(VENV)/.torch-$(TORCH)
endif
	$(call install,requirements.txt,requirements.lock)
	$(BIN)/python -m pip install --no-deps -e .
	touch $@

$(VENV)/.dev$(MARK): requirements-dev.txt $(VENV)/.app$(MARK)
	$(call install,requirements-dev.txt,requirements-dev.lock)
	touch $@

$(VENV)/.cluster$(MARK): requirements-cluster.txt $(VENV)/.dev$(MARK)
	$(call install,requirements-cluster.txt,requirements-dev.lock)
	touch $@

$(VENV)-flower/.flower: requirements-flower.txt requirements.txt
	$(PYTHON) -m venv $(VENV)-flower
ifneq ($(TORCH),)
	$(VENV)-flower/bin/python -m pip install --index-url $(TORCH_INDEX)/$(TORCH) $$(grep '^torch' requirements.txt)
endif
	$(VENV)-flower/bin/python -m pip install -r requirements-flower.txt
	$(VENV)-flower/bin/python -m pip install --no-deps -e .
	touch $@

$(VENV)/.docs$(MARK): requirements-docs.txt $(VENV)/.app$(MARK)
	$(call install,requirements-docs.txt,requirements-dev.lock)
	touch $@

# An environment keeps the build of torch that it was made with.
ifneq ($(and $(TORCH),$(wildcard $(VENV)/.app $(VENV)/.app-locked)),)
ifeq ($(wildcard $(VENV)/.torch-$(TORCH)),)
$(error $(VENV) has another build of torch than TORCH=$(TORCH): run `make clean` first)
endif
endif
