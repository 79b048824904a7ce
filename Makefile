# These commands do everything on a machine with Python 3.11 or later and make:
#   make demo   reconstruct the built-in phantom and show the table and the picture
#   make test   lint and run all tests
#   make docs   write the web site, in docs/_build/html
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint docs bench clean

$(VENV)/installed: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt torch==2.13.0 -e ".[test]"
	$(BIN)/pip install -q --no-deps fastmri==0.3.0 || echo "no fastmri: the tests that compare with it will skip"
	touch $@

demo: $(VENV)/installed
	$(BIN)/pisolve demo -o demo

lint: $(VENV)/installed
	$(BIN)/ruff check .

test: lint
	$(BIN)/python -m pytest -n 2

docs: $(VENV)/installed
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "written: docs/_build/html/index.html"

bench: $(VENV)/installed
	$(BIN)/python benchmarks/cartesian.py

clean:
	rm -rf $(VENV) build dist demo *.egg-info docs/_build docs/reference docs/gallery docs/project
