# Two commands matter: make run shows it, make test proves it.
# Everything a test needs is installed by name: see the target deps.

GO      ?= go
TOOL     = $(GO) tool -modfile=.ci/tools/go.mod
# A part that a test needs and does not find fails the test instead of being left out.
export LOCKKEEPER_REQUIRE = servers
FUZZTIME ?= 10s

.PHONY: run test deps build lint vuln unit differential leak sim bugs e2e fuzz bench tidy

run: ## the example server: https://localhost:8443
	$(GO) run ./examples/server

test: deps build lint vuln unit differential leak sim ## everything, against real servers

deps: ## Debian packages, servers and vendors' clients for tests; the Vault is built once per machine, about ten minutes
	sh .ci/deps
	sh connectors/c4c/captest/install.sh
	sh connectors/msgraph/msgraphtest/jsclient/install.sh
	sh connectors/ews/ewstest/jsclient/install.sh
	sh connectors/google/googletest/jsclient/install.sh
	sh secrets/internal/peers/install.sh
	$(GO) test ./secrets/hashivault/vaulttest -timeout 90m

build: ## what users import builds without a C compiler; files are as gofmt and go mod tidy leave them
	CGO_ENABLED=0 $(GO) build ./...
	$(GO) vet ./...
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these files"; exit 1; }
	$(GO) mod tidy -diff

lint:
	$(TOOL) golangci-lint run ./...

vuln: ## calls of functions with known vulnerabilities; says so where the database cannot be reached
	sh .ci/vuln

unit: ## unit, property, conformance and end-to-end tests, with the race detector
	CGO_ENABLED=1 $(GO) test -race -shuffle=on -timeout 40m -p 2 ./...

differential: ## the index against its reference and against another engine, without the race detector for the sake of numbers
	$(GO) test ./authz -run 'TestDifferential|TestPlainCasbinAgrees' -authz.decisions=20000000 -authz.casbin=1000000 -timeout 30m -v

leak: ## a thousand known secrets through everything that could leak one; with the race detector there are fewer
	$(GO) test ./secrets -run 'TestNoSecretLeaves' -timeout 20m -v

sim: ## two thousand simulated worlds, about two million steps, without the race detector for the sake of numbers
	$(GO) test ./sync/sim -run 'TestSim$$' -sim.seeds=2000 -timeout 30m -v

bugs: ## deliberate bugs in the engine, which the simulator has to find; by hand: it builds for each. `unit` checks that they fit
	$(GO) test ./sync/sim -run TestBugsAreFound -sim.bugs -timeout 60m -v

fuzz: ## each fuzz target for FUZZTIME
	sh .ci/fuzz $(FUZZTIME)

bench: ## the hot paths, compared with a peer or a limit in the same run
	$(GO) test -run '^$$' -bench . -benchmem ./authz ./secrets ./sync/...

tidy:
	$(GO) mod tidy
	cd .ci/tools && $(GO) mod tidy
