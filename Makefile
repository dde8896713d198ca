# `make app` and `make test` need nothing but Python 3.11 or later, git and make.
# `make app TORCH=cpu` takes PyTorch's CPU build, a fraction of the size of the one with CUDA.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
TORCH ?=
TORCH_INDEX ?= https://download.pytorch.org/whl

.PHONY: app test test-long test-cluster test-flower lint format docs clean

app: $(VENV)/.app
	$(BIN)/streamlit run streamlit_app.py

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not long and not cluster and not flower' -n $(WORKERS) --dist loadfile --durations=15

test-long: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'long and not cluster and not flower' -n $(WORKERS) --dist loadfile --durations=15

# Ray's nodes are on this machine; the tests run one after the other.
test-cluster: $(VENV)/.cluster
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m cluster --durations=5

# In an environment of its own: Flower needs older versions of protobuf and FastAPI.
test-flower: $(VENV)-flower/.flower
	OMP_NUM_THREADS=1 $(VENV)-flower/bin/python -m pytest -m flower --durations=5

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs . build/site
	@echo 'The pages are in build/site: open build/site/index.html'

clean:
	rm -rf $(VENV) $(VENV)-flower build docs/api

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'MoCoOp needs Python 3.11 or later: make PYTHON=/path/to/python3.11'; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.app: requirements.txt pyproject.toml | $(BIN)/python
ifneq ($(TORCH),)
	$(BIN)/python -m pip install --index-url $(TORCH_INDEX)/$(TORCH) $$(grep '^torch' requirements.txt)
	touch $(VENV)/.torch-$(TORCH)
endif
	$(BIN)/python -m pip install -r requirements.txt
	$(BIN)/python -m pip install --no-deps -e .
	touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.app
	$(BIN)/python -m pip install -r requirements-dev.txt
	touch $@

$(VENV)/.cluster: requirements-cluster.txt $(VENV)/.dev
	$(BIN)/python -m pip install -r requirements-cluster.txt
	touch $@

$(VENV)-flower/.flower: requirements-flower.txt requirements.txt
	$(PYTHON) -m venv $(VENV)-flower
ifneq ($(TORCH),)
	$(VENV)-flower/bin/python -m pip install --index-url $(TORCH_INDEX)/$(TORCH) $$(grep '^torch' requirements.txt)
endif
	$(VENV)-flower/bin/python -m pip install -r requirements-flower.txt
	$(VENV)-flower/bin/python -m pip install --no-deps -e .
	touch $@

$(VENV)/.docs: requirements-docs.txt $(VENV)/.app
	$(BIN)/python -m pip install -r requirements-docs.txt
	touch $@

# An environment keeps the build of torch that it was made with.
ifneq ($(and $(TORCH),$(wildcard $(VENV)/.app)),)
ifeq ($(wildcard $(VENV)/.torch-$(TORCH)),)
$(error $(VENV) has another build of torch than TORCH=$(TORCH): run `make clean` first)
endif
endif
