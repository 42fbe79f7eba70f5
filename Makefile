# make train: set up and do the main job.   make test: set up and run the tests.
# make docs: set up and build the documentation, a site in build/docs.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.installed

.PHONY: train test check docs clean
.SECONDARY:

train: $(READY)
	$(VENV)/bin/python train.py method=spos task_weight=0.9

test: $(VENV)/.scan-installed $(VENV)/.export-installed $(VENV)/.measure-installed
	$(VENV)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

check: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

docs: $(VENV)/.docs-installed
	$(VENV)/bin/python -m sphinx --quiet --fail-on-warning --keep-going -b html docs build/docs

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("msnas needs Python 3.11 or newer, found " + sys.version if sys.version_info < (3, 11) else 0)'
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $(READY)

$(VENV)/.%-installed: requirements-%.txt $(READY)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

clean:
	rm -rf $(VENV) build/docs
