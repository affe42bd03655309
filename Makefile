# Everything a developer types. `make` alone lists it.

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
# Wheels only: nothing is compiled on this machine. Every file is checked against its pinned hash.
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
LOCK := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
	--extra embedded --extra history --extra parquet --build-deps-for editable --build-deps-for wheel

# Emulators of SQS, each in an environment of its own: they pin what we use in other versions.
COUNTERPARTS := .venv-counterparts
EMULATORS := $(COUNTERPARTS)/ministack/.installed $(COUNTERPARTS)/moto/.installed
LOCK_EMULATOR := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

# Clients and SDKs in other languages, each pinned with its hash. A missing runtime is no error here, as with servers.
CLIENTS := $(COUNTERPARTS)/javascript/.installed $(COUNTERPARTS)/go/.installed $(COUNTERPARTS)/java/.installed
# Go is in no release of Debian that is new enough.
GO := $(or $(shell command -v go),/usr/local/go/bin/go)

# Each module is compiled once: a run of all tests starts hundreds of processes.
export PYTHONDONTWRITEBYTECODE :=

# What the processes of a run of all tests measured.
MEASURED := .coverage_data

# A package of Debian, and a file of it. No test uses a system's own service, so none is started.
SERVERS := rabbitmq-server=/usr/lib/rabbitmq/bin/rabbitmq-server redis-tools=/usr/bin/redis-cli activemq=/usr/bin/activemq
SERVERS += prometheus=/usr/bin/prometheus
# Receivers of webhooks.
SERVERS += nginx=/usr/sbin/nginx apache2-bin=/usr/sbin/apache2 nodejs=/usr/bin/node
# It checks the units of deploy/systemd. Most systems have it; containers of Debian do not.
SERVERS += systemd=/usr/bin/systemd-analyze
# Clients of the API, producers, and the browser of tests/clients and of the console's tests. Go is looked for, and not installed.
SERVERS += npm=/usr/bin/npm maven=/usr/bin/mvn default-jdk-headless=/usr/bin/javac chromium=/usr/bin/chromium
SERVERS += php-cli=/usr/bin/php php-curl=/usr/share/doc/php-curl php-redis=/usr/share/doc/php-redis
# The history. The tests run its programs, and leave the cluster alone that the package makes.
SERVERS += postgresql=/usr/bin/pg_createcluster
# It sets the clock of a Redis that tests start.
SERVERS += faketime=/usr/bin/faketime
# A missing server is no error here: the tests that need it are skipped, and say so.
define INSTALL_SERVERS
missing=; for server in $(SERVERS); do [ -x "$${server#*=}" ] || missing="$$missing $${server%%=*}"; done; \
[ -n "$$missing" ] || exit 0; \
root=; [ "$$(id -u)" = 0 ] || root="sudo -n"; \
if ! command -v apt-get >/dev/null || ! $$root true 2>/dev/null; then \
    echo "not installed:$$missing (Debian, Ubuntu: apt install$$missing); the tests that need them are skipped"; exit 0; \
fi; \
echo "installing$$missing"; \
policy=/usr/sbin/policy-rc.d; \
if [ ! -e $$policy ]; then \
    trap '$$root rm -f /usr/sbin/policy-rc.d' EXIT; trap 'exit 1' INT TERM; \
    printf '#!/bin/sh\nexit 101\n' | $$root tee $$policy >/dev/null && $$root chmod 755 $$policy; \
fi; \
apt="$$root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=60 \
    -o Acquire::Retries=1 -o Acquire::http::Timeout=20"; \
install="$$apt install --no-install-recommends $$missing"; \
$$install >/dev/null 2>&1 || { $$apt update >/dev/null 2>&1; $$install >/dev/null; } || { \
    echo "not installed:$$missing; the tests that need them are skipped"; exit 0; }; \
! command -v systemctl >/dev/null || for service in rabbitmq-server nginx postgresql; do \
    case "$$missing" in *$$service*) $$root systemctl --quiet disable $$service >/dev/null 2>&1 || true;; esac; done
endef

# What other programs and packages use: its docstrings describe every argument and result.
PUBLIC := worker/publisher.py deliverers/contract.py deliverers/testing.py

.DEFAULT_GOAL := help
.PHONY: help install demo run test fuzz servers emulators clients check rehearse bench everyday attacks chaos outages dashboard screens fmt clean lock

help: ## lists the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

install: $(RUNTIME) ## installs into .venv what running needs
demo: $(RUNTIME) ## delivers one event on this machine, and shows each step
	@$(BIN)/edw demo
run: $(RUNTIME) ## runs the embedded Redis and a worker, until Ctrl-C
	@$(BIN)/edw dev
# Tests mostly wait for servers and processes, so three run at once, a file at a time, the quick ones (tests/unit) last.
# A run of all tests measures their branch coverage. CI holds the floor (pyproject.toml); elsewhere, tests may be skipped.
test: $(DEV) servers emulators clients ## runs all tests, three at a time; ARGS="-k webhook -n 0" chooses, and runs one at a time
	@$(if $(ARGS),$(BIN)/python,rm -rf $(MEASURED) && $(BIN)/coverage run) -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(ARGS)
	@$(if $(ARGS),,$(BIN)/coverage combine --quiet && $(BIN)/coverage report $(if $(CI),,--fail-under=0))
fuzz: $(DEV) ## gives every parser 10,000 unexpected inputs; ARGS="--inputs 10000000 --seed 2 --target event" chooses
	@$(BIN)/python -m tests.fuzz $(ARGS)
servers: ## installs the servers that tests start, where it may (Debian, Ubuntu; as root or with sudo)
	@$(INSTALL_SERVERS)
emulators: $(EMULATORS) ## installs the emulators of SQS that tests start
clients: servers $(CLIENTS) ## installs the clients in other languages that tests run
check: $(DEV) ## checks lint, format, types, import contracts, docstrings, repeated names, old words, the page of settings and openapi.json
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pydoclint $(PUBLIC)
	$(BIN)/python -m tests.checks.class_names
	$(BIN)/python -m tests.checks.prose
	$(BIN)/python -m config.settings_page --check config/SETTINGS.md
	$(BIN)/python -m worker.api.openapi_file --check worker/api/openapi.json
rehearse: $(DEV) servers ## builds what deploy/ builds in a throw-away folder, and runs its units under a systemd (as root)
	@$(BIN)/python -m tests.integration.deploy.rehearsal
	@$(BIN)/python -m tests.integration.deploy.systemd_rehearsal
bench: $(DEV) emulators ## compares the worker with the floor and the textbook, and measures what broken receivers cost others
	@$(BIN)/python -m tests.benchmarks
everyday: $(DEV) $(COUNTERPARTS)/matplotlib/.installed ## measures everyday load, and draws it; ARGS="--beside CHECKOUT" compares
	@record=$$(mktemp) && trap 'rm -f "$$record"' EXIT && $(BIN)/python -m tests.benchmarks.everyday --json "$$record" $(ARGS) && \
	    $(COUNTERPARTS)/matplotlib/bin/python -m tests.benchmarks.everyday_chart "$$record" deploy/everyday-load.png
attacks: $(DEV) ## attacks one API and one worker, and measures what others notice; ARGS="--attack 'bad tokens' --seconds 10" chooses
	@$(BIN)/python -m tests.benchmarks.attacks $(ARGS)
dashboard: $(DEV) servers $(COUNTERPARTS)/matplotlib/.installed ## plays a bad day, and draws the dashboard of it
	@record=$$(mktemp) && trap 'rm -f "$$record"' EXIT && $(BIN)/python -m tests.dashboard "$$record" && \
	    $(COUNTERPARTS)/matplotlib/bin/python -m tests.dashboard.draw "$$record" deploy/grafana/dashboard.png
screens: $(DEV) servers ## plays a day, and draws the console's pictures of it; EVERY=folder draws every page there
	@$(BIN)/python -m tests.console $(if $(EVERY),$(EVERY) --every,deploy/console)
chaos: $(DEV) servers ## kills processes at random, counts what arrived and what the history has, then make outages; SEED=… and KILLS=… repeat kills alone
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(KILLS),--kills $(KILLS))
	@$(if $(SEED)$(KILLS),,$(BIN)/python -m pytest --quiet --numprocesses 0 --timeout 1800 --history-kills 30 \
	    tests/integration/process/test_history_crashes.py)
	@$(if $(SEED)$(KILLS),,$(MAKE) --no-print-directory outages)
outages: $(DEV) servers ## takes Redis and brokers away for 30 s and 120 s, all cases side by side; ARGS="-k frozen" chooses
	@$(BIN)/python -m tests.chaos.outages $(ARGS)
fmt: $(DEV) ## formats the code, repairs what ruff can repair, renews the page of settings and openapi.json
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .
	$(BIN)/python -m config.settings_page --write config/SETTINGS.md
	$(BIN)/python -m worker.api.openapi_file --write worker/api/openapi.json
lock: $(DEV) ## pins the newest versions that pyproject.toml allows, with hashes
	$(LOCK) --upgrade --output-file requirements.txt pyproject.toml
	$(LOCK) --upgrade --extra otel --extra test --extra dev -c requirements.txt --output-file requirements-dev.txt pyproject.toml
	echo ministack | $(LOCK_EMULATOR) --output-file tests/counterparts/requirements-ministack.txt -
	echo matplotlib | $(LOCK_EMULATOR) --output-file tests/counterparts/requirements-matplotlib.txt -
	printf 'moto\nflask\nflask-cors\n' | $(LOCK_EMULATOR) --output-file tests/counterparts/requirements-moto.txt -
clean: ## removes .venv and caches; data folders stay
	rm -rf $(VENV) $(COUNTERPARTS) $(MEASURED) *.egg-info build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# PYTHON=… names another interpreter. A venv without pip is incomplete, and is made again.
$(BIN)/pip:
	@rm -rf $(VENV); found=; \
	for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "error: no Python 3.11 or later was found. Install one (Debian, Ubuntu: apt install python3 python3-venv;" >&2; \
	    echo "       macOS: brew install python), or name it: make PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "error: $$found has no venv module. Install it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; \
	fi; \
	echo "making $(VENV) with $$found"; "$$found" -m venv $(VENV)

$(RUNTIME): requirements.txt pyproject.toml | $(BIN)/pip
	@echo "installing what running needs"
	@$(PIP) --require-hashes --only-binary :all: -r requirements.txt || { \
	    echo "error: not everything could be installed. Where pip found no matching distribution, there is no wheel" >&2; \
	    echo "       for this machine: Linux needs glibc 2.28 or later, on x86-64 or arm64 (Debian 10, Ubuntu 20.04, RHEL 8)" >&2; \
	    exit 1; }
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	@echo "installing what tests and checks need"
	@$(PIP) --require-hashes --only-binary :all: -r requirements-dev.txt
	@touch $@

# A missing emulator is no error here: the tests that need it are skipped, and say so.
# matplotlib has an environment of its own too, because only the dashboard's picture needs it.
$(COUNTERPARTS)/%/.installed: tests/counterparts/requirements-%.txt | $(BIN)/pip
	@echo "installing $*"
	@rm -rf $(@D); $(BIN)/python -m venv $(@D) && \
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --only-binary :all: -r $< && \
	touch $@ || echo "not installed: $*; the tests that need it are skipped" >&2

# npm checks the hashes of the lock file.
$(COUNTERPARTS)/javascript/.installed: $(addprefix tests/clients/javascript/,package.json package-lock.json)
	@echo "installing JavaScript clients"
	@rm -rf $(@D); mkdir -p $(@D) && cp $^ $(@D) && \
	(cd $(@D) && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >&2) && \
	touch $@ || echo "not installed: the JavaScript clients; the tests that need them are skipped" >&2

# go.sum has the hashes. Its cache of builds is kept here, so that a snippet is compiled in a second.
$(COUNTERPARTS)/go/.installed: $(wildcard tests/clients/go/go.* tests/clients/go/*/*.go)
	@echo "installing Go clients"
	@mkdir -p $(@D) && cd tests/clients/go && \
	GOCACHE=$(CURDIR)/$(@D)/cache GOFLAGS=-mod=readonly GOTOOLCHAIN=local $(GO) build -o $(CURDIR)/$(@D)/ ./... && \
	touch $(CURDIR)/$@ || echo "not installed: the Go clients; the tests that need them are skipped" >&2

# Maven 3.8 has no lock file, so every jar is checked here.
$(COUNTERPARTS)/java/.installed: $(addprefix tests/clients/java/,pom.xml checksums.sha256)
	@echo "installing Java clients"
	@rm -rf $(@D); mkdir -p $(@D) && \
	mvn --quiet --batch-mode --strict-checksums --file tests/clients/java/pom.xml dependency:copy-dependencies \
	    -DoutputDirectory=$(CURDIR)/$(@D) && \
	(cd $(@D) && sha256sum --check --quiet --strict $(CURDIR)/tests/clients/java/checksums.sha256) && \
	touch $@ || echo "not installed: the Java clients; the tests that need them are skipped" >&2
