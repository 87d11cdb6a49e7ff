# SPDX-License-Identifier: Apache-2.0

TOPOLOGY ?= cluster/topologies/quickstart.yaml
SWIFT_SOURCES = Package.swift Sources Tests
# Tests in which sockets, processes or disks play with real time: one after another, undisturbed.
REAL_TIME_TESTS = ^(AgentService|Cluster|CoordinatorService|DecisionStore|EnforcerService|LocalSocket|OperatorCLI|SecureTransport)Tests\.

.PHONY: help setup count setup-tests build run test check lint format generate generated fuzz fuzz-short oracle sanitize placement-table clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## Install what the build needs (Debian packages), check the toolchain
	@cluster/scripts/install-packages

build: setup ## Build the programs, optimized
	swift build -c release

run: build ## Bring up the quickstart fleet on this machine
	.build/release/busbar up $(TOPOLOGY)

setup-tests: ## Install what the tests need as well: Debian's etcd-server
	@cluster/scripts/install-packages --tests

test: setup-tests ## Build and run every test
	swift build --build-tests
	swift test --skip-build --skip '$(REAL_TIME_TESTS)'
	swift test --skip-build --no-parallel --filter '$(REAL_TIME_TESTS)'

check: setup lint generated ## Lint, generated code, import rules, warnings
	BUSBAR_ONLY=Repository swift test

lint:
	swift format lint --strict --parallel --recursive $(SWIFT_SOURCES)

format: ## Format all Swift sources in place
	swift format --in-place --parallel --recursive $(SWIFT_SOURCES)

generate: setup ## Regenerate the C code of the protocol
	proto/generate

generated: setup
	proto/generate --check

fuzz: setup ## Fuzz the decoders for SECONDS (default 60) each
	Tests/Fuzz/run $(or $(SECONDS),60)

fuzz-short: setup ## Fuzz the decoders of the protocol for half a minute in all
	Tests/Fuzz/run 3 --wire

oracle: build ## Compare the power solver with HiGHS on PROBLEMS (default 2000) problems
	BUSBAR=.build/release/busbar Tests/Oracles/run $(or $(PROBLEMS),2000)

sanitize: setup-tests ## Run every test under the address and the thread sanitizer
	Tests/Sanitizers/run address
	Tests/Sanitizers/run thread

placement-table: build ## Run the placement experiment on all lists, beside the published figures
	Benchmarks/placement-table

count: setup-tests ## Count instructions and allocations of power solves, compare with the thresholds
	Tests/SolveProbe/run

clean: ## Remove what was built
	rm -rf .build .build-oracle .build-probe .build-thread .build-address
