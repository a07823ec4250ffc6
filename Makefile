# The commands of the project. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where pip finds torch. Empty: wherever pip looks anyway (on Linux that is the CUDA build, which runs on a CPU too).
# For the smaller CPU build give the address of PyTorch's CPU wheels, from its installation page.
TORCH_INDEX ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet


.DEFAULT_GOAL := help
.PHONY: help venv venv-test tools demo viewer test quick test-long crash test-orthanc-matrix images check docs parity bench model-eval pins wheel clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

venv: $(VENV)/.ready ## .venv with everything that the node needs; the command is then .venv/bin/spineps-pacs

$(VENV)/.ready: pyproject.toml constraints.txt
	@scripts/check-python $(PYTHON)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing PyTorch, then the rest (some minutes the first time) ..."
	@$(PIP) install -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@$(PIP) install -c constraints.txt -e '.[engines]'
	@touch $@

venv-test: $(VENV)/.ready-test ## the same with the tools of the tests

$(VENV)/.ready-test: $(VENV)/.ready
	@echo "Installing the tools of the tests ..."
	@$(PIP) install -c constraints.txt -e '.[engines,small-fov,evaluation,dev]'
	@touch $@

tools: ## real programs that tests use (Orthanc, DCMTK, Chromium ...), from Debian's packages, where we may install them
	@scripts/system-tools

demo: venv ## run a node and send it a made-up study; ONCE=1 stops when the results have arrived, VIEWER=1 opens OHIF
	@$(BIN)/spineps-pacs demo $(if $(ONCE),--once) $(if $(VIEWER),--viewer)

viewer: venv-test tools ## Orthanc and OHIF with the made-up study and its results
	@$(BIN)/python scripts/viewer

test: venv-test tools ## every test that needs no GPU, then scripts/check
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not long and not gpu"
	@scripts/check

quick: venv-test ## the fast ring for daily work: no real programs, no whole walks
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not long and not gpu and not real and not slow" -q

test-long: venv-test tools ## the full form of every campaign: fuzz, crash matrix, load, parity
	@$(BIN)/python -m pytest -m long

crash: venv-test tools ## the full crash matrix
	@$(BIN)/python -m pytest -m "long or not long" tests/walk/test_crash.py

test-orthanc-matrix: venv-test tools ## the plugin in the Orthancs of Debian trixie and sid, each in a root of its own
	@for suite in trixie sid; do \
	  scripts/orthanc-root $$suite && $(BIN)/python -m pytest tests/orthanc -m "not long" --orthanc-root build/orthanc-$$suite || exit 1; \
	done

images: venv ## execute what the Dockerfiles say, without Docker, and try the site (root; docs/deploy.md)
	@scripts/dockerfile-steps Dockerfile --target node --serve
	@scripts/dockerfile-steps Dockerfile.orthanc --target orthanc --serve
	@scripts/dockerfile-steps Dockerfile.orthanc --target ohif --serve --add-host orthanc
	@scripts/site-trial

check: venv-test ## lint, types, pins, docs
	@scripts/check

parity: venv ## our masks beside those of upstream, stage by stage, upstream in an environment of its own
	@scripts/parity

bench: venv ## this project beside upstream, phase by phase; QUICK=1 takes minutes, PHASES="load around" parts
	@$(BIN)/spineps-pacs bench $(if $(QUICK),--quick) $(if $(PHASES),--phases $(PHASES))

model-eval: venv ## the embedded model on fresh made-up spines; compares with the committed table
	@$(BIN)/python -m training.evaluate_default

docs: venv-test ## the documentation as a site, in build/site
	@$(BIN)/python scripts/docs_site.py

pins: ## renew constraints.txt
	@scripts/renew-pins

wheel: venv-test ## build the wheel into dist/
	@$(PIP) wheel --no-deps -w dist .

clean: ## remove what was built here
	@rm -rf build dist
