# Everything fetched or made by running goes to .cache/ and bin/, which git ignores.

GO ?= go
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

# How long each fuzz target runs in `make fuzz`. Given as a time, Go may end it with
# "context deadline exceeded" when nothing is wrong (golang/go#75804, until Go 1.27).
FUZZTIME ?= 50000x

# Packages with goroutines of their own: tested with the race detector in CI.
CONCURRENT = ./appservices/... ./cmd/... ./config/... ./device/... ./history/... ./session/... ./translator/... ./internal/...

# Tests of the whole server; each keeps both cores busy.
WHOLE = $(patsubst %,./%,$(wildcard e2e faults metamorphic soak))

# How long `make soak` goes on: random operations in one process, then sessions
# of real clients.
SOAKTIME ?= 30m
SESSIONS ?= 500

# How often a bridge is killed in each of `make faults`'s tests of that, and how
# often the other faults are repeated.
KILLS ?= 200
ROUNDS ?= 10

.PHONY: build run demo test bench ci test32 soak faults fetch mongod librealm check fuzz e2e clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/bridge ./cmd/bridge

# A bridge that an app can connect to, with its data in .cache/dev; on all
# addresses, so that phones reach it: make run LISTEN=:9090
run: build mongod
	bin/bridge dev --data .cache/dev $(if $(LISTEN),--listen $(LISTEN))

# Two devices, a MongoDB writer, one device off line and back: in a terminal.
demo: build mongod
	bin/bridge demo

# Every test, against real servers and the real client.
test: fetch
	$(GO) test ./...

# The figures, each beside a ceiling measured in the same run.
bench: fetch
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 30m ./e2e

# What .ci/run does once the machine has what it needs.
ci: fetch check
	$(GO) test -count=1 $$($(GO) list ./... | grep -v -x -F -e "$$($(GO) list $(CONCURRENT) $(WHOLE))")
	CGO_ENABLED=1 $(GO) test -race -count=1 $(CONCURRENT)
	$(MAKE) e2e
	$(MAKE) fuzz

# The bridge that real clients talk to is built with the race detector.
e2e: fetch
	E2E_RACE=1 $(GO) test -count=1 -p 1 -v $(WHOLE)

soak: fetch
	$(GO) test ./metamorphic -count=1 -run Soak -timeout 0 -duration $(SOAKTIME)
	$(GO) test ./soak -count=1 -run Sessions -timeout 0 -sessions $(SESSIONS)

# One after the other: what they wait for is time that others would take.
faults: fetch
	$(GO) test ./faults -count=1 -v -timeout 0 -parallel 1 -kills $(KILLS) -rounds $(ROUNDS)

# What decodes what devices send, where an int has 32 bits, which the lengths that they
# claim do not fit. Not every x86-64 machine runs such programs: it is not in CI.
test32:
	CGO_ENABLED=0 GOARCH=386 $(GO) test -count=1 ./changeset/... ./protocol/...

check:
	@unformatted="$$(gofmt -l .)"; [ -z "$$unformatted" ] || { echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(STATICCHECK) ./...

fuzz:
	scripts/fuzz.sh $(FUZZTIME)

fetch: mongod librealm

# MONGOD or a mongod on the PATH is taken as it is.
mongod:
	@[ -n "$$MONGOD" ] || command -v mongod >/dev/null || scripts/fetch-mongod.sh >/dev/null

librealm:
	@[ -n "$$REALM_LIBRARY" ] || scripts/fetch-librealm.sh >/dev/null

clean:
	rm -rf bin .cache
