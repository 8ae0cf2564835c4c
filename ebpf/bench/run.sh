#!/usr/bin/env bash
# Builds the bench programs as the calling user and runs them beside the baseline as root. Needs clang-19 and BPF.
set -eu
cd "$(dirname "$0")/.."
for tool in clang-19 cargo; do command -v $tool >/dev/null || { echo "NOT RUN  bench: $tool is not installed"; exit 3; }; done
mkdir -p build
clang-19 -O2 -g -target bpf -mcpu=v3 -Wall -Wno-unused-function -Werror -Iinclude -I. -c bench/bench.bpf.c -o build/bench.bpf.o
clang-19 -O2 -g -target bpf -mcpu=v3 -Wall -Wno-unused-function -Werror -Iinclude -I. -c bench/dataplane.bpf.c -o build/dataplane.bpf.o
cargo build -q --release -p fqdnc -p kernel-tests --bins
../.ci/root ../target/release/dataplane build/dataplane.bpf.o
exec ../.ci/root ../target/release/bench build/bench.bpf.o ../target/release/fqdnc "$@"
