# make lab     open the course (the first time, everything is installed first)
# make help    the rest

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev lab course test check build bench prove kind screenshots docs clean

# The Python of the environment that is there, else the first that is new enough; PYTHON=/path/to/python3 chooses another.
PYTHON ?= $(shell for p in $$(.venv/bin/python -c 'import sys; print(sys._base_executable)' 2>/dev/null) python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
ifeq ($(strip $(PYTHON)),)
$(error halab needs Python 3.11 or newer and found none; install one, or: make $(MAKECMDGOALS) PYTHON=/path/to/python3)
endif

RUN := .venv/bin

help:  ## what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup:  ## install what is needed here (uv, packages into .venv, host programs)
	@$(PYTHON) tools/setup.py

setup-dev:
	@$(PYTHON) tools/setup.py --dev

lab: setup  ## start the cluster and open JupyterLab on the course
	@$(RUN)/halab lab

course: setup  ## run the whole course without a browser, with a report
	@$(RUN)/halab course

test: setup-dev  ## all tests; ARGS="tests/unit -k name" for some of them
	@$(RUN)/python tools/run_tests.py $(ARGS)

check: setup-dev  ## format, lint, types, import contracts, derived files
	@$(RUN)/python tools/check.py

build: setup-dev  ## write every derived file anew
	@$(RUN)/python tools/build.py

bench: setup-dev  ## measure the budgets of ARCHITECTURE.md; ARGS="up apply" for some of them
	@$(RUN)/python -m benchmarks $(ARGS)

prove: setup-dev  ## play a lab's solution again and again, and its mistakes; LAB=07 TIMES=10 MISTAKES=1 RECORD=folder
	@$(RUN)/python -m pytest -q tests/labs/test_labs.py $(foreach lab,$(LAB),--lab $(lab)) --times $(or $(TIMES),10) \
		--mistakes $(or $(MISTAKES),1) $(if $(RECORD),--record $(RECORD))

kind: setup  ## play every lab on a kind cluster made for it (docs/kind.md); LABS="02 08", KEEP=1
	@$(RUN)/python tools/kind_course.py $(LABS)

screenshots: setup-dev  ## pictures of the widgets for the docs, and of the notebooks into build/screenshots
	@$(RUN)/python tools/pictures.py
	@$(RUN)/python tools/screenshots.py

docs: setup-dev  ## the course as a site for reading offline, into build/site
	@$(RUN)/python tools/docs.py

clean:  ## stop the default cluster and remove the environment
	@[ ! -x $(RUN)/halab ] || $(RUN)/halab down
	rm -rf .venv .tools build
