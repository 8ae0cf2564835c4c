# One line each to something readable. `make` says what is missing, then builds; kernel steps use sudo by themselves.
SHELL := /bin/bash

.PHONY: build demo test check kernels bench ebpf clean
build: tools ; cargo build --release
tools: ; @.ci/tools
demo: build ; @.ci/root policies/quickstart/demo.sh target/release
test: tools ; @.ci/test
check: tools ; cargo fmt --all --check && cargo clippy --workspace --all-targets --all-features && cargo test --workspace
kernels: tools ; @.ci/kernels
bench: build ; @ebpf/bench/run.sh
ebpf: ; $(MAKE) -C ebpf
clean: ; cargo clean && rm -rf .kernels ebpf/build
