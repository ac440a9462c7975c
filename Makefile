# `make help` lists what can be made.
SHELL := /bin/sh
.DELETE_ON_ERROR:
.PHONY: help build container demo test lint conformance bench fuzz crash clean tools debian

# Tools that are Go modules are installed here, so that nothing outside of the
# checkout changes.
CACHE := $(CURDIR)/.cache
export PATH := $(CACHE)/bin:$(PATH)
export CGO_ENABLED ?= 0

GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.7.2
CRANE := github.com/google/go-containerregistry/cmd/crane@v0.21.9
REGCTL := github.com/regclient/regclient/cmd/regctl@v0.11.5
DISTRIBUTION := github.com/distribution/distribution/v3/cmd/registry@v3.1.2
VERSITYGW := github.com/versity/versitygw/cmd/versitygw@v1.8.0

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the binary, bin/cloudlets
	go build -trimpath -ldflags '-s -w' -o bin/cloudlets ./cmd/cloudlets

container: build ## an image of the registry, with buildah: cloudlets
	scripts/container

demo: ## from nothing to a booted Debian, with times
	@scripts/demo

# The real parts that tests are run against.
TEST_PACKAGES := acl attr buildah busybox-static ca-certificates cpio docker-registry dosfstools e2fsprogs erofs-utils fdisk gdisk genisoimage git grub-common grub-efi-amd64-bin grub-pc-bin libarchive-tools lz4 binutils shim-signed grub-efi-amd64-signed systemd-boot-efi \
	libcap2-bin libnbd-bin libxml2-utils mmdebstrap nbdkit python3 python3-jsonschema mtools openssl ovmf podman postgresql qemu-system-x86 qemu-utils runc skopeo squashfs-tools tar uidmap xorriso xz-utils zstd bzip2 gcc libc6-dev btrfs-progs cryptsetup-bin exfatprogs ntfs-3g xfsprogs

tools: ## what tests need: Debian packages, crane, regctl, versitygw
	@scripts/apt-install $(TEST_PACKAGES)
	@test -x $(CACHE)/bin/crane || GOBIN=$(CACHE)/bin go install $(CRANE)
	@test -x $(CACHE)/bin/regctl || GOBIN=$(CACHE)/bin go install $(REGCTL)
	@test -x $(CACHE)/bin/versitygw || GOBIN=$(CACHE)/bin go install $(VERSITYGW)

debian: $(CACHE)/debian.tar $(CACHE)/debian-live.tar ## the Debian root filesystems that tests and benchmarks use

$(CACHE)/debian.tar: | tools
	scripts/debian-rootfs $@

# The same system, able to boot from where it cannot write.
$(CACHE)/debian-live.tar: | tools
	scripts/debian-rootfs $@ --include=live-boot,live-boot-initramfs-tools

# The same system before its security updates: the second version of a push.
$(CACHE)/debian-old.tar: | tools
	scripts/debian-rootfs $@ --setup-hook='sed -i /bookworm-/d "$$1/etc/apt/sources.list"'

# The race detector needs cgo; the binary has none. Several packages drive
# QEMU, servers and checkers: more than two at a time only wait for each other.
TIMEOUT ?= 60m
test: debian ## everything, against real parts
	CLOUDLETS_TEST_CLIENTS=$(CACHE)/bin CGO_ENABLED=1 go test -race -p 2 -timeout $(TIMEOUT) ./...

crash: debian ## 200 kills of server and client at random moments, with faults around them; the log is .cache/faults.txt
	CLOUDLETS_CRASHES=200 CLOUDLETS_FAULT_LOG=$(CACHE)/faults.txt \
		go test -count=1 -timeout 2h -run 'Kill|Crash|Faults|TwoNodes' ./cmd/cloudlets

lint: ## formatting, vet and golangci-lint
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these files"; exit 1; }
	go vet ./...
	@test -x $(CACHE)/bin/golangci-lint || GOBIN=$(CACHE)/bin go install $(GOLANGCI_LINT)
	golangci-lint run --allow-parallel-runners

conformance: build ## the distribution spec, against our registry on both back ends
	scripts/conformance cloudlets cloudlets-bucket

# Measurements are chosen by name: make bench BENCH=registry-rates
BENCH ?= .
BENCH_PACKAGES := curl docker-registry fdisk e2fsprogs libnbd-bin mmdebstrap nbdkit nginx-light postgresql python3 qemu-system-x86 qemu-utils skopeo wrk zstd
bench: build debian $(CACHE)/debian-old.tar ## measurements against other tools
	@scripts/apt-install $(BENCH_PACKAGES)
	@test -x $(CACHE)/bin/registry || GOBIN=$(CACHE)/bin go install $(DISTRIBUTION)
	go run ./bench -run '$(BENCH)'

FUZZTIME ?= 30s
fuzz: ## every fuzz target, for FUZZTIME each
	@scripts/fuzz $(FUZZTIME)

clean: ## what was built
	rm -rf bin
