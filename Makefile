# One line each to something readable. `make` says what is missing, then builds; kernel steps use sudo by themselves.
SHELL := /bin/bash
# The scripts look into target/, wherever else your shell builds.
unexport CARGO_TARGET_DIR

.PHONY: build demo test check kernels matrix dearest flood bench faults fuzz soak ebpf clean
build: tools ; cargo build --release
tools: ; @.ci/tools
demo: build ; @.ci/root policies/quickstart/demo.sh target/release
test: tools ; @.ci/test
check: tools ; cargo fmt --all --check && cargo clippy --workspace --all-targets --all-features && cargo test --workspace && .ci/fuzz 60
kernels: tools ; @.ci/kernels
# What real resolvers and clients do with a policy and without: NOT RUN for those that are not installed.
matrix: build ; @cargo build -q --release -p kernel-tests --bins && .ci/root target/release/matrix
# What one workload's flood does to another on another CPU, with a policy and without, in pairs.
flood: build ; @cargo build -q --release -p kernel-tests --bins && .ci/root target/release/flood
# The dearest messages that a search finds, by the kernel's clock.
dearest: tools ; @.ci/dearest
# Every table, and then whether a bound was missed.
bench: build ; @cargo bench -q -p fqdnc --benches; missed=$$?; ebpf/bench/run.sh && exit $$missed
faults: ; @.ci/faults "$${TMPDIR:-/tmp}/fqdn-faults"
fuzz: ; @.ci/fuzz 1800
# All that takes hours by nature.
soak: build ; @.ci/soak
ebpf: ; $(MAKE) -C ebpf
clean: ; cargo clean && rm -rf .kernels ebpf/build
