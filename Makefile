# `make help` lists what can be made.
SHELL := /bin/sh
.DELETE_ON_ERROR:
.PHONY: help build demo test lint conformance bench fuzz crash clean tools debian

# Tools that are Go modules are installed here, so that nothing outside of the
# checkout changes.
CACHE := $(CURDIR)/.cache
export PATH := $(CACHE)/bin:$(PATH)
export CGO_ENABLED ?= 0

GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.7.2
CRANE := github.com/google/go-containerregistry/cmd/crane@v0.21.9

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the binary, bin/cloudlets
	go build -trimpath -ldflags '-s -w' -o bin/cloudlets ./cmd/cloudlets

demo: ## from nothing to a booted Debian, with times
	@scripts/demo

# The real parts that tests are run against.
TEST_PACKAGES := acl attr dosfstools e2fsprogs fdisk gdisk grub-common grub-efi-amd64-bin grub-pc-bin libarchive-tools \
	libcap2-bin mmdebstrap mtools ovmf podman postgresql qemu-system-x86 qemu-utils runc skopeo tar uidmap xz-utils zstd bzip2 gcc libc6-dev

tools: ## what tests need: Debian packages, crane
	@scripts/apt-install $(TEST_PACKAGES)
	@test -x $(CACHE)/bin/crane || GOBIN=$(CACHE)/bin go install $(CRANE)

debian: $(CACHE)/debian.tar $(CACHE)/debian-old.tar ## Debian root filesystems for tests and benchmarks

$(CACHE)/debian.tar: | tools
	scripts/debian-rootfs $@

# The same system before its security updates: the second version of a push.
$(CACHE)/debian-old.tar: | tools
	scripts/debian-rootfs $@ --setup-hook='sed -i /bookworm-/d "$$1/etc/apt/sources.list"'

# The package tests run with the race detector, which needs cgo; the binary has
# none. End-to-end tests find the root filesystem by its name.
test: debian build ## everything, against real parts
	CGO_ENABLED=1 go test -race ./...
	go test -count=1 -tags e2e ./e2e

lint: ## formatting, vet and golangci-lint
	@test -z "$$(gofmt -l .)" || { gofmt -l . ; echo "run gofmt"; exit 1; }
	go vet ./... && go vet -tags e2e ./e2e
	@test -x $(CACHE)/bin/golangci-lint || GOBIN=$(CACHE)/bin go install $(GOLANGCI_LINT)
	golangci-lint run

conformance: ## the distribution spec, against our registry
	go test -count=1 -v -run 'TestSpecification' ./registry

BENCH_PACKAGES := nginx-light fdisk e2fsprogs qemu-utils mmdebstrap zstd
bench: build debian ## measurements against other tools
	@scripts/apt-install $(BENCH_PACKAGES)
	go run ./bench

FUZZTIME ?= 30s
fuzz: ## every fuzz target, for FUZZTIME each
	@scripts/fuzz $(FUZZTIME)

clean: ## what was built
	rm -rf bin
