# SPDX-License-Identifier: Apache-2.0
# The two commands of the README are `make demo` and `make test`; `make` alone builds build/weir. Everything is made below build/.

BUILD := build
NINJA := ninja -C $(BUILD)
PYTHON := /usr/bin/python3

.PHONY: all deps build static image test-image deb test-deb test lint fuzz test-guest test-conformance test-node test-k8s chaos demo bench micro micro-check clean install

all: build

# Debian packages a plain build needs; says what it installs, does nothing when all are there.
deps:
	@tools/deps.sh build
	@tools/llhttp.sh

$(BUILD)/build.ninja: | deps
	meson setup $(BUILD) $(MESON_FLAGS)

build: deps $(BUILD)/build.ninja
	@$(NINJA) weir

# One file to copy: build/static/weir, without a shared library, compiled with a profile (a minute or two); QUICK=1 without.
static: deps
	@tools/static.sh $(if $(QUICK),quick)

# build/image/weir.tar: an OCI archive of the static binary alone, by buildah, without a daemon. The same commit gives the same digest.
image: static
	@tools/deps.sh image
	@tools/image.sh

# The image built twice and run by podman and containerd with nothing granted. A target of its own because of the engines.
test-image: image
	@tools/deps.sh test
	@tools/deps.sh test-image
	@$(PYTHON) -m pytest -q -p no:cacheprovider tests/image

# build/deb/weir_VERSION-REV_ARCH.deb, by debhelper: the program, systemd units, man pages, completions. The same commit gives the same bytes.
deb: REV := 1
deb: deps
	@tools/deps.sh deb
	@tools/deb.sh $(REV)

# The package installed, upgraded under load, removed and purged in a Debian of its own that systemd has booted; lintian; built twice. Needs root.
test-deb: deb
	@tools/deps.sh test
	@tools/deps.sh test-deb
	@$(PYTHON) -m pytest -q -rs -p no:cacheprovider tests/deb

# Lints, unit and flow tests (plain and under ASan+UBSan), kernel tests and end-to-end tests over real pods. What needs root is skipped
# without it, and counted.
test: deps
	@tools/deps.sh test
	@tools/test.sh $(T)

# Content of 1 GiB both ways through every pairing: about 7 minutes and 1 GiB of /dev/shm. BYTES=... for another size.
BYTES := 1073741824
test-large: build
	@tools/deps.sh test
	@BODY_BYTES=$(BYTES) $(PYTHON) -m pytest -q -p no:cacheprovider tests/e2e/test_bodies.py -k $(BYTES)
	@WEIR_LARGE=1 WEIR_KERN_DRIVER=$(CURDIR)/$(BUILD)/tests/bpf/weir-kern-driver $(PYTHON) -m pytest -q -rs -p no:cacheprovider tests/bpf/test_full.py
	@WEIR_LARGE=1 WEIR_BIN=$(CURDIR)/$(BUILD)/weir $(PYTHON) -m pytest -q -rs -p no:cacheprovider tests/node/test_signer.py

# A page in headless Chromium. A target of its own since the browser is 400 MB; on Ubuntu chromium is a snap: there, install a browser by hand.
test-browser: build
	@tools/deps.sh test
	@tools/deps.sh browser
	@$(PYTHON) -m pytest -q -p no:cacheprovider tests/browser

# Mixed traffic with resets, reloads, new certificates and endpoints that come and go; memory and descriptors must stay flat.
MINUTES := 10
soak: build
	@tools/deps.sh test
	@$(PYTHON) tests/soak/soak.py --minutes $(MINUTES)

lint: deps $(BUILD)/build.ninja
	@tools/deps.sh test
	@meson test -C $(BUILD) --suite lint --print-errorlogs

# Each libFuzzer target for SECONDS (60) from its committed corpus; F=target for one of them. Fails when something is found.
SECONDS := 60
fuzz: deps
	@tools/deps.sh fuzz
	@$(PYTHON) tools/fuzz.py --seconds $(SECONDS) $(F)

# Agent and helper killed at random moments while policy churns and calls are made, for MINUTES; SEED=N repeats one.
chaos: MINUTES := 5
chaos: build
	@tools/deps.sh test
	@$(PYTHON) tests/chaos/chaos.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

# Three tenants of node mode, one attacked, one killed, one idle, beside a neighbour whose calls are timed; then PODS pods come and go.
test-node: SECONDS := 10
test-node: PODS := 200
test-node: build
	@tools/deps.sh test
	@$(PYTHON) tests/node/isolation.py $(SECONDS) $(PODS)

# KEEP=1 leaves the demo up; MODE=node shows pods without sidecars.
demo: build
	@tools/deps.sh demo
	@$(PYTHON) demo/$(if $(filter node,$(MODE)),node_demo.py,demo.py) $(if $(KEEP),--keep)

# QUICK=1: a few cases, under 3 minutes; otherwise all of them, under 40. RECORD=1 writes bench/RESULTS.md and bench/results; B takes options of bench/run.py.
bench: build
	@tools/deps.sh bench
	@$(if $(QUICK),,tools/deps.sh plots)
	@$(if $(QUICK),,$(MAKE) --no-print-directory static)
	@$(PYTHON) bench/run.py $(if $(QUICK),--quick,--weir $(BUILD)/static/weir) $(if $(RECORD),--record) $(B)

# Debian's packaged 6.1 kernel in a guest under software emulation: at least one test of each program, joined bytes, the verifier's
# figures; ALL=1: all of tests/bpf and tests/node. G="test_wait.py", G="-k udp" and the like: those.
test-guest: build
	@tools/deps.sh guest
	@$(NINJA) >/dev/null
	@tests/bpf/guest.sh $(BUILD) $(if $(ALL),all) $(G)

# weir in a real cluster: Kubernetes from a pinned Go module (tests/k8s), built once into build/k8s, ten minutes the first time; needs Go and
# root. The Gateway API mesh conformance suite is `tests/k8s/conformance.py MODE`, which this runs for each mode; K takes options of pytest.
test-k8s: image
	@tools/deps.sh k8s
	@tests/k8s/build.sh
	@$(PYTHON) -m pytest -q -rs -p no:cacheprovider tests/k8s $(K)

# h2spec and gRPC's interoperability cases; needs Go.
test-conformance: build
	@tests/conformance/h2spec.sh $(BUILD)
	@tests/conformance/grpc.sh $(BUILD)

# Instructions per request of the whole core, by room, without noise; PROFILE=1 names the functions.
micro: build
	@tools/deps.sh micro
	@bench/micro/run.sh $(M)

# Instructions of codecs, router, balancer, policy matcher and exchanges against bench/micro/baseline.tsv: fails beyond 2%. UPDATE=1 records.
micro-check: build
	@tools/deps.sh micro
	@$(PYTHON) bench/micro/check.py --build $(BUILD) $(if $(UPDATE),--update)

install: build
	DESTDIR=$(DESTDIR) meson install -C $(BUILD)

clean:
	rm -rf $(BUILD)
