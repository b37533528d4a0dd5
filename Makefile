# Everything a developer or a user types. `make help` lists it.
SHELL := /bin/bash
.DELETE_ON_ERROR:

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/holdfast
BIN   := bin

# Everything is built in one way, as the image is, so that nothing is compiled twice.
export CGO_ENABLED := 0
export GOFLAGS := $(strip $(GOFLAGS) $(if $(findstring -trimpath,$(GOFLAGS)),,-trimpath))

GOLANGCI_VERSION := v2.15.0
PROTOC_GEN_GO_VERSION := v1.36.12
PROTOC_GEN_GO_GRPC_VERSION := v1.6.2
PROTOC_GEN_CONNECT_GO_VERSION := v1.21.1
PROTOC_GEN_OPENAPIV2_VERSION := v2.31.0
GOLANGCI := $(CACHE)/golangci-lint-$(GOLANGCI_VERSION)/golangci-lint
PROTOC_PLUGINS := $(CACHE)/protoc-plugins-$(PROTOC_GEN_GO_VERSION)-$(PROTOC_GEN_GO_GRPC_VERSION)-$(PROTOC_GEN_CONNECT_GO_VERSION)-$(PROTOC_GEN_OPENAPIV2_VERSION)

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: up
up: build ## build, get Envoy and Jaeger, run everything with the demo servers; Ctrl-C stops it
	@exec $(BIN)/holdfast up

.PHONY: build
build: ## build holdfast, xds and extproc into bin/
	@test -e $(BIN)/xds || echo "building for the first time: this compiles Envoy's API and takes a minute or two"
	@go build -o $(BIN)/ ./cmd/...

.PHONY: parts
parts: ## get beforehand what tests need: Envoy, Redis, promtool, Jaeger, SDKs of others
	@go run ./internal/fetch

# The packages whose tests take longest, which begin so that others run beside them.
LONG := ./test/e2e ./test/conformance ./test/clients ./test/soak ./cmd/holdfast ./test/bench/dataplane ./pkg/control ./pkg/mcpaware/limit ./test/drills

.PHONY: test
test: build ## the whole test suite, real Envoy included
	@# One package more at a time than there are cores, since the long ones mostly wait.
	HOLDFAST_BIN=$(abspath $(BIN)) go test -p $(shell expr $$(nproc) + 1) -timeout 60m $(TESTFLAGS) $(LONG) ./...

.PHONY: unit
unit: ## the tests that need no Envoy
	go test $$(go list ./... | grep -v /test/)

.PHONY: e2e
e2e: ## the tests on a real Envoy, one by one, with their names
	go test -timeout 20m -count=1 -v ./test/...

.PHONY: race
race: ## unit tests of PACKAGES (default all) under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race -timeout 30m $(or $(PACKAGES),$$(go list ./... | grep -v /test/))

.PHONY: race-build
race-build: ## compile PACKAGES for the race detector, as race would do first
	CGO_ENABLED=1 go build -race $(or $(PACKAGES),$$(go list ./... | grep -v /test/))

# The fuzz targets that FUZZ matches, as lines of package and name.
FUZZ_TARGETS = grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed -E 's\#/[^/]*_test\.go:func \# \#' | sort -u | grep -E '$(or $(FUZZ),.)'
FUZZ_BIN := $(BIN)/fuzz
# fuzz_program is the test program of the package $$0.
fuzz_program = "$(abspath $(FUZZ_BIN))/$$(echo "$$0" | tr -c "[:alnum:]\n" -).test"

.PHONY: fuzz-build
fuzz-build: ## build the programs of all fuzz targets (or of those that FUZZ matches)
	@$(FUZZ_TARGETS) | cut -d' ' -f1 | uniq | xargs -L 1 sh -c 'go test -c -vet=off -fuzz . -o $(fuzz_program) "$$0"'

.PHONY: fuzz
fuzz: fuzz-build ## every fuzz target (or those that FUZZ matches) for FUZZTIME (default 10s), two at a time
	@corpus="$$(go env GOCACHE)/fuzz/$$(go list -m)" && export corpus && $(FUZZ_TARGETS) | xargs -P 2 -L 1 sh -c 'echo "fuzz $$0 $$1"; \
	    out=$$(cd "$$0" && $(fuzz_program) -test.run "^$$" -test.fuzz "^$$1\$$" -test.fuzzcachedir "$$corpus/$${0#./}" -test.parallel 1 \
	      -test.fuzztime $(or $(FUZZTIME),10s) 2>&1) || { echo "$$0 $$1 failed:"; echo "$$out"; exit 1; }'

.PHONY: bench
bench: build ## the control plane with 1,000 and 10,000 servers; see docs/PERFORMANCE.md
	go run ./test/bench/scale -xds $(BIN)/xds -max-change 250ms -max-first-sync 5s -max-memory 256
	go run ./test/bench/scale -xds $(BIN)/xds -servers 100 -clients 5 -changes 1001
	go run ./test/bench/scale -xds $(BIN)/xds -servers 10000 -clients 1 -changes 0

.PHONY: conformance
conformance: ## the official MCP conformance suite through Holdfast; writes docs/CONFORMANCE.md
	go test -timeout 10m -count=1 -v ./test/conformance -write

.PHONY: bench-data
bench-data: build ## what Holdfast costs on the way of a call; writes docs/PERFORMANCE.md's table
	go run ./test/bench/dataplane -write docs/PERFORMANCE.md

.PHONY: saturate
saturate: build ## ten minutes of full load with limits and traces on; fails when memory grows
	go run ./test/bench/dataplane -saturate 10m

.PHONY: clients
clients: ## clients and servers of four SDKs through Holdfast, with every fault; fetches them
	go test -timeout 10m -count=1 -v ./test/thirdparty ./test/clients

.PHONY: soak
soak: ## 200 clients of four SDKs for ten minutes, while servers die and come back
	go test -timeout 20m -count=1 -v ./test/soak -clients 200 -for 10m

.PHONY: drills
drills: ## failures played on a real Envoy at 1,000 calls a second; writes docs/RELIABILITY.md
	go test -timeout 60m -count=1 -v ./test/drills -absolute -write

.PHONY: attack
attack: ## one caller sends ten times its rate limit for a minute
	HOLDFAST_ATTACK_TIME=60s go test -timeout 5m -count=1 -v -run 'TestAttack$$' ./test/e2e

.PHONY: allocs
allocs: ## what a decision and a verdict allocate, against the last commit; fails at a fifth more
	go run ./internal/allocs

.PHONY: lint
lint: $(GOLANGCI) ## gofumpt, vet and the linters of .golangci.yml
	$(GOLANGCI) run --allow-parallel-runners ./...

.PHONY: fmt
fmt: $(GOLANGCI) ## format everything
	$(GOLANGCI) fmt ./...

.PHONY: golden
golden: ## write the golden files anew; read the diff
	go run ./internal/gen/configref
	go test $$(grep -rl --include='*_test.go' 'Bool("update"' . | xargs -n1 dirname | sort -u) -update

.PHONY: generate
generate: $(PROTOC_PLUGINS) ## protos (needs protoc) and the configuration reference
	PATH="$(PROTOC_PLUGINS):$$PATH" protoc -I. --go_out=. --go_opt=paths=source_relative \
	  --go-grpc_out=. --go-grpc_opt=paths=source_relative api/policy/v1/policy.proto api/outcome/v1/outcome.proto api/session/v1/session.proto
	PATH="$(PROTOC_PLUGINS):$$PATH" protoc -I. --go_out=. --go_opt=paths=source_relative \
	  --connect-go_out=. --connect-go_opt=paths=source_relative,simple \
	  --openapiv2_out=. --openapiv2_opt=generate_unbound_methods=true,disable_default_errors=true \
	  --openapiv2_opt=openapi_configuration=api/admin/v1/admin.openapi.yaml api/admin/v1/admin.proto
	PATH="$(PROTOC_PLUGINS):$$PATH" protoc -I. --go_out=. --go_opt=paths=source_relative \
	  pkg/control/state/state.proto pkg/control/store/record/record.proto
	go run ./internal/gen/configref

.PHONY: clean
clean: ## remove bin/
	rm -rf $(BIN)

$(GOLANGCI):
	@echo "building golangci-lint $(GOLANGCI_VERSION) (about a minute)"
	@mkdir -p $(@D) && GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

$(PROTOC_PLUGINS):
	@mkdir -p $@
	@GOBIN=$@ go install google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GEN_GO_VERSION)
	@GOBIN=$@ go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@$(PROTOC_GEN_GO_GRPC_VERSION)
	@GOBIN=$@ go install connectrpc.com/connect/cmd/protoc-gen-connect-go@$(PROTOC_GEN_CONNECT_GO_VERSION)
	@GOBIN=$@ go install github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2@$(PROTOC_GEN_OPENAPIV2_VERSION)
