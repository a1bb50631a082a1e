# Everything there is to do here: build, demo, test, test-clients, test-vm, lint, bench, bench-proxy, install.

PREFIX  ?= /usr/local
DESTDIR ?=
GO      ?= $(shell command -v go || echo /usr/local/go/bin/go)
SUDO    := $(if $(filter 0,$(shell id -u)),,sudo)

# Without git, or outside of its own checkout, the version is a plain "devel".
VERSION ?= $(shell git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null | sed 's/^v//' | grep . || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)

export CGO_ENABLED := 0
# Tests call go too; sudo may have taken it out of PATH.
export PATH := $(dir $(GO)):$(PATH)
# The version comes from above; a checkout that is somebody else's must not
# keep the build from working.
export GOFLAGS += -buildvcs=false

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# In CI up to three tests that failed are run once more, and named: its machines now
# and then stand still for seconds.
ifdef CI
gotest = $(GO) run gotest.tools/gotestsum@v1.13.0 --format standard-quiet --rerun-fails=1 --rerun-fails-max-failures=3 \
	--rerun-fails-report=/dev/stderr --packages="$(1)" -- -timeout 20m -p 1
else
gotest = $(GO) test -timeout 20m -p 1 $(1)
endif

.PHONY: build demo test test-clients test-vm lint bench bench-proxy install examples/shop/images
.DEFAULT_GOAL := build

build:
	$(GO) build -trimpath -ldflags "$(LDFLAGS)" -o bin/peapod ./cmd/peapod

# Runs two containers until Ctrl-C, which clears up.
demo: build
	@echo "Open http://127.0.0.1:8080/ when the pod listens. Ctrl-C stops it and clears up."
	@$(SUDO) bin/peapod pod run examples/hello.json

# Needs Go and root: what is tested makes namespaces, mounts and cgroups. One
# package at a time: each looks for what it left on the host.
test: build
	@if [ "$$(id -u)" != 0 ]; then \
		echo "make test: the tests make namespaces, mounts and cgroups and need root: sudo -E make test" >&2; exit 1; fi
	$(GO) vet ./...
	$(call gotest,$$($(GO) list ./... | grep -v -e integration/clients -e integration/validation))

# Engines, as they are installed, with peapod as their runtime; and the OCI's own
# validation programs.
test-clients:
	$(call gotest,./integration/clients ./integration/validation)

# The tests on other kernels, in emulated machines; downloads Debian's kernels
# once. make test-vm MACHINE=v2 PKG=./cgroups RUN=TestPids, and VMFLAGS=-shell or -list.
test-vm:
	$(GO) run ./integration/vm $(if $(MACHINE),-machine $(MACHINE)) $(if $(PKG),-pkg $(PKG)) $(if $(RUN),-run '$(RUN)') $(VMFLAGS)

lint:
	@files=$$(gofmt -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go')); \
		if [ -n "$$files" ]; then echo "gofmt -w would change:" $$files >&2; exit 1; fi
	GOARCH=amd64 $(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

bench: build
	$(SUDO) $(GO) run ./integration/bench

bench-proxy: build
	$(SUDO) $(GO) run ./integration/benchproxy -write

# A million connections through the proxy, each byte checked; make test does
# the same with a few thousand. SOAK="-n 10000000 -seed 2": more, others.
soak: build
	$(GO) run ./integration/soak $(SOAK)

install: build
	install -D -m 755 bin/peapod $(DESTDIR)$(PREFIX)/bin/peapod

# An unpacked Debian with redis, for examples/redis.
examples/redis/debian:
	$(SUDO) examples/redis/build

# The unpacked Debian roots of examples/shop, with its programs in them.
examples/shop/images:
	$(SUDO) examples/shop/build
