# Two commands for users: `make demo` and `make test`. The virtual environment is made once per set of inputs.
PYTHON ?= python3
VENV := .venv
KEY := $(shell cat pyproject.toml constraints.txt | sha256sum | cut -c1-16)
STAMP := $(VENV)/.ready-$(KEY)
# Benchmarks are timed on two threads everywhere; the demo takes what the machine has. Tests run in WORKERS processes, one
# more than cores where there are two: many wait for programs that they start.
WORKERS ?= 3
bench: export OMP_NUM_THREADS ?= 2
test test-gpu: export OMP_NUM_THREADS ?= 1
# Tests start a hundred processes: each would compile the package anew where bytecode is switched off.
test test-gpu: export PYTHONDONTWRITEBYTECODE :=
export MPLBACKEND := Agg

.PHONY: demo test test-gpu lint bench docs clean

demo: $(STAMP)
	$(VENV)/bin/cytomesh demo --out runs/demo

test: $(STAMP)
	$(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-gpu: $(STAMP)
	$(VENV)/bin/python -m pytest tests/test_gpu.py

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(STAMP)
	$(VENV)/bin/python -m benchmarks

# DOCS="-D plot_gallery=0" leaves the gallery's scripts unrun.
docs: $(STAMP)
	$(VENV)/bin/python -m sphinx -W --keep-going -q $(DOCS) docs runs/docs

$(STAMP):
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	$(VENV)/bin/python -c "import torch, torchvision, timm, torch_geometric"
	rm -f $(VENV)/.ready-*
	touch $@

clean:
	rm -rf $(VENV) runs
