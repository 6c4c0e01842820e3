# Commands for people who use and who change Keelson. `make` lists them.
SHELL      := /bin/bash
GO         ?= go
VERSION    := 3.7.1
GIT_SHA    := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
LDFLAGS    := -s -w -X main.gitSHA=$(GIT_SHA)
BUILD      := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)'
STATICCHECK := $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
TIME       ?= 60s
PKG        ?= ./internal/wire
MINUTES    ?= 30
N          ?= 20

.PHONY: help run build test check lint race fuzz compat compat-long crash bench cross clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

run: build ## build, then start a member on 127.0.0.1:2379 with its data under ./default.etcd
	./bin/etcd --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379

build: ## the three binaries into bin/
	@mkdir -p bin
	$(BUILD) -o bin/ ./cmd/...

test: build ## all tests: unit, architecture, the real binaries with real clients, a slice of the comparison with etcd
	$(GO) test -timeout 10m ./...
	cd test/compat && $(GO) test -timeout 10m ./...

check: lint ## what a change must pass: linters and the quick tests
	$(GO) test -short -timeout 5m ./internal/... ./cmd/...

lint: ## gofmt, go vet, staticcheck
	@test -z "$$(gofmt -l cmd internal test bench 2>/dev/null)" || { echo "not gofmt-clean:"; gofmt -l cmd internal test bench; exit 1; }
	$(GO) vet ./...
	$(STATICCHECK) ./...
	for m in test/compat bench; do (cd $$m && $(GO) vet ./... && $(STATICCHECK) ./...) || exit 1; done

race: ## the unit tests with the race detector
	CGO_ENABLED=1 $(GO) test -race -timeout 15m ./internal/...

fuzz: ## one package's fuzz targets: make fuzz PKG=./internal/wal TIME=60s
	@for f in $$($(GO) test -list '^Fuzz' $(PKG) | grep ^Fuzz); do $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(TIME) $(PKG) || exit 1; done

compat-long: build ## random requests to Keelson and to etcd for MINUTES minutes, answers compared
	cd test/compat && KEELSON_COMPAT_MINUTES=$(MINUTES) $(GO) test -timeout $$(( $(MINUTES) + 10 ))m -run 'TestDifferential' -v ./...

crash: build ## kill -9 under load, N times
	KEELSON_CRASH_ROUNDS=$(N) $(GO) test -timeout 30m -run 'TestCrash' -v ./test/e2e/...

bench: build ## one million keys: start-up time, memory, list and count cost, puts under compaction
	cd bench && $(GO) run ./million -bin ../bin/etcd

cross: ## compile for every platform we promise
	@for os in linux darwin windows; do for arch in amd64 arm64; do \
	  echo "$$os/$$arch"; CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -o /dev/null ./cmd/etcd && \
	  CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -o /dev/null ./cmd/etcdctl && \
	  CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -o /dev/null ./cmd/etcdutl || exit 1; done; done

clean: ## remove what was built
	rm -rf bin
