# make demo   the sample painting in napari, training under way (without a display: a screenshot in build/demo)
# make test   all tests, the viewer's included
# Both make their own environment in .venv and install what they need.

PYTHON ?= python3
VENV ?= .venv
DOCS_VENV ?= build/docs-venv
AUDIT_VENV ?= build/audit-venv
TORCH ?= torch==2.13.0
CONSTRAINTS ?= constraints.txt
QT ?= PyQt6>=6.7,<6.12
BIN = $(VENV)/bin
# processes that share out the tests; the windows are all in one of them
WORKERS ?= 2
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

SEED ?= 0

.PHONY: demo test test-all test-lowest test-core lint types imports check setup system clean soak fuzz faults audit bench docs \
    architecture screenshots package

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt scripts/install.sh scripts/system.sh
	PYTHON="$(PYTHON)" VENV="$(VENV)" TORCH="$(TORCH)" CONSTRAINTS="$(CONSTRAINTS)" QT="$(QT)" sh scripts/install.sh
	touch $@

# the libraries that Qt, OpenGL and the virtual display need; a word of advice where that takes root
system:
	sh scripts/system.sh

demo: setup system
	sh scripts/with-display.sh $(BIN)/python scripts/demo.py

test: setup system
	OMP_NUM_THREADS=1 sh scripts/with-display.sh $(BIN)/python -m pytest -q -m "not slow" -n $(WORKERS) --dist loadgroup $(PYTEST)

# with the lowest versions that pyproject.toml allows of what it names, in an environment of their own
test-lowest: system
	PYTHON="$(PYTHON)" TORCH="$(TORCH)" QT="$(QT)" sh scripts/lowest.sh build/lowest.txt
	$(MAKE) test VENV=build/lowest-venv CONSTRAINTS=build/lowest.txt

test-core: setup
	$(BIN)/python -m pytest -q -m "not slow" tests/cubeseg $(PYTEST)

# a random user and windows that come and go, ten minutes in all; SEED=1 for other ones
soak: setup system
	for n in 0 1 2; do sh scripts/with-display.sh $(BIN)/python -m tests.soak.monkey --actions 5000 --seconds 110 --seed $$((3 * $(SEED) + n)) || exit 1; done
	sh scripts/with-display.sh $(BIN)/python -m tests.soak.cycles --cycles 200 --seconds 200 --seed $(SEED)

# those that take long too
test-all: setup system
	sh scripts/with-display.sh $(BIN)/python -m pytest -q $(PYTEST)

fuzz: setup
	$(BIN)/python scripts/fuzz.py $(FUZZ)

# processes killed while they segment, save, export
faults: setup
	$(BIN)/python benchmarks/faults.py $(FAULTS)

# what looks unsafe in the sources (see [tool.bandit] in pyproject.toml), and packages with known holes (asks PyPI)
audit: setup $(AUDIT_VENV)/.installed
	$(AUDIT_VENV)/bin/bandit -q -c pyproject.toml -r src
	$(AUDIT_VENV)/bin/pip-audit --path $$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")

$(AUDIT_VENV)/.installed:
	$(PYTHON) -m venv $(AUDIT_VENV)
	$(AUDIT_VENV)/bin/pip install --quiet --disable-pip-version-check "bandit[toml]" pip-audit
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

check: lint types imports

# the site, in build/site
docs:
	PYTHON="$(PYTHON)" DOCS_VENV="$(DOCS_VENV)" sh scripts/docs.sh

# the picture of the imports in docs/architecture.md
architecture: setup
	$(BIN)/python scripts/architecture.py

# the pictures in docs/images, of the real napari (ten minutes); SHOTS=painting for some of them
screenshots: setup system
	OMP_NUM_THREADS=1 sh scripts/with-display.sh $(BIN)/python scripts/screenshots.py $(SHOTS)

# wheel and source in dist, looked into and tried in a fresh environment
package:
	PYTHON="$(PYTHON)" TORCH="$(TORCH)" CONSTRAINTS="$(CONSTRAINTS)" QT="$(QT)" sh scripts/package.sh

clean:
	rm -rf build dist $(VENV)

# side by side with the baselines; written into docs/benchmarks.md
bench: setup
	$(PIP) --constraint constraints.txt --group bench
	$(BIN)/python benchmarks/segmentation.py run
	$(BIN)/python benchmarks/segmentation.py table
