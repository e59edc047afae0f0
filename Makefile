# The two commands a reader needs: make book, make test. Everything here stands as plain commands in README.md too.
PYTHON ?= python3
BIN := .venv/bin
CORES := $(shell $(PYTHON) -c "import os; print(min(4, os.cpu_count() or 1))")
CH ?=
COLAB_PYTHON ?= $(PYTHON)

# What `make` runs is the sample profile, without progress bars (their text differs from run to run).
export TQDM_DISABLE = 1
# Two notebooks run side by side, with two threads each: a thread that waits must not keep the other's core busy.
export OMP_WAIT_POLICY = passive

.DEFAULT_GOAL := help
.PHONY: help book test colab lab lint site slides student refresh results full explorer test-real bench release clean

help: ## list these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[book,test]"
	@touch $@

book: .venv/.installed ## run every notebook (sample profile) and build the site
	SKILLBOOK_PROFILE=sample $(BIN)/python scripts/notebooks.py run
	$(BIN)/python scripts/build_site.py executed

test: .venv/.installed ## unit tests, every stored notebook output, the built site
	SKILLBOOK_PROFILE=sample $(BIN)/python -m pytest -n $(CORES) --dist loadscope --no-loadscope-reorder \
		--nbval -m "not real and not colab" notebooks tests helpers scripts

.venv-colab/.installed: tests/colab.txt
	$(COLAB_PYTHON) -m venv .venv-colab
	.venv-colab/bin/python -m pip install --quiet --disable-pip-version-check $(shell grep ^torch== constraints.txt) -r tests/colab.txt
	@touch $@

colab: .venv/.installed .venv-colab/.installed ## every notebook alone in an empty folder, with the packages that Colab ships
	SKILLBOOK_PROFILE=sample $(BIN)/python -m pytest -n $(CORES) --dist load -m colab tests/test_alone.py

lab: .venv/.installed ## open the notebooks in JupyterLab
	env -u TQDM_DISABLE $(BIN)/jupyter lab notebooks

lint: .venv/.installed ## ruff on code and notebooks, codespell on everything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

site: .venv/.installed ## build the site from the stored outputs, running nothing
	$(BIN)/python scripts/build_site.py stored

student: .venv/.installed ## the notebooks without their solutions, into student/ (CH=03 for one)
	$(BIN)/python scripts/student.py $(CH)

slides: .venv/.installed ## slides of the stored notebooks, into _build/slides (CH=03 for one)
	$(BIN)/python scripts/slides.py $(CH)

refresh: .venv/.installed ## run the notebooks again and store their outputs (CH=00 for one)
	SKILLBOOK_PROFILE=sample $(BIN)/python scripts/notebooks.py refresh $(CH)

results: .venv/.installed ## measured runs on the sample, into results/sample (CH=01 for one chapter)
	env -u TQDM_DISABLE $(BIN)/python scripts/measure.py --profile sample $(CH)

full: .venv/.installed ## measured runs on the real data, into results/full (CH=01 for one chapter)
	env -u TQDM_DISABLE $(BIN)/python scripts/measure.py --profile full $(CH)

explorer: .venv/.installed ## compute the data of the skill explorer and the picture on the first page
	$(BIN)/python scripts/build_explorer.py

test-real: .venv/.installed ## tests on the real data (python -m helpers fetch gets it)
	$(BIN)/python -m pytest -m real tests

bench: .venv/.installed ## speed and memory, side by side with what one would otherwise use
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/matching.py
	$(BIN)/python benchmarks/classifiers.py
	$(BIN)/python benchmarks/generation.py
	$(BIN)/python benchmarks/contrastive.py
	$(BIN)/python benchmarks/scaling.py

release: book ## everything a release offers, with checksums, into _build/release (DIRTY=1 for a trial)
	$(BIN)/python scripts/release.py $(if $(DIRTY),--dirty)

clean: ## remove what was built (the downloads stay)
	rm -rf _build student .venv .venv-colab *.egg-info .pytest_cache .ruff_cache .hypothesis
