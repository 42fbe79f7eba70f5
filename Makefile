# make train: set up and do the main job.   make test: set up and run the tests.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.installed
OPTIONAL_READY := $(VENV)/.optional-installed
OPTIONAL := requirements-scan.txt requirements-export.txt

.PHONY: train test check clean

train: $(READY)
	$(VENV)/bin/python train.py method=spos task_weight=0.9

test: $(OPTIONAL_READY)
	$(VENV)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

check: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("msnas needs Python 3.11 or newer, found " + sys.version if sys.version_info < (3, 11) else 0)'
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $(READY)

$(OPTIONAL_READY): $(READY) $(OPTIONAL)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(OPTIONAL:%=-r %)
	touch $(OPTIONAL_READY)

clean:
	rm -rf $(VENV)
