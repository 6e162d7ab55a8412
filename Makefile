# Two commands on a fresh machine do everything: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DRAWS := $(BIN)/python -c "from robo_adv.rendering import use_working_backend as use; use()"
GL_PACKAGES := libegl1 libgl1-mesa-dri libosmesa6

.PHONY: help setup demo test test-fast check bench gl clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv with all dependencies; does nothing when it is up to date

$(READY): pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
	  f"robo_adv needs Python 3.11 or newer, got {v[0]}.{v[1]}; try make setup PYTHON=python3.12")'
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo "installing robo_adv and its dependencies into .venv (a few minutes the first time)"
	$(BIN)/pip install -qq -c constraints.txt -e '.[dev,onnx]'
	for name in envs agents assets; do ln -sfn ../$$name robo_adv/$$name; done
	touch $@
	@$(MAKE) --no-print-directory gl || echo "set up; only pictures and videos need what is missing above"

demo: setup  ## the main job: audit a shipped controller over every port
	$(BIN)/robo-adv demo

# One thread per process for numerical libraries: two workers share the cores already.
test: setup  ## all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-fast: setup  ## all tests but the slow ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow"

check: setup  ## lint, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy -p robo_adv
	$(BIN)/mypy tests

bench: setup  ## the numbers of the README, on this machine
	$(BIN)/robo-adv bench

gl:  ## see that an OpenGL backend can draw; as root, install one if none can
	@if $(DRAWS) 2>/dev/null; then \
	  echo "rendering works"; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "no OpenGL backend can draw: installing $(GL_PACKAGES)"; \
	  apt-get update -qq; \
	  for package in $(GL_PACKAGES); do \
	    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$package || \
	      echo "could not install $$package"; \
	  done; \
	  if $(DRAWS) 2>/dev/null; then echo "rendering works"; \
	  else echo "still no OpenGL backend can draw: see robo-adv doctor"; false; fi; \
	elif command -v apt-get >/dev/null; then \
	  echo "no OpenGL backend can draw; run: sudo apt-get install $(GL_PACKAGES)"; false; \
	else \
	  $(DRAWS); \
	fi

clean:  ## remove what builds and checks left behind; .venv and runs/ stay
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .coverage
	find robo_adv envs agents assets tests -name __pycache__ -type d -prune -exec rm -rf {} +
