#!/usr/bin/env bash
# Builds the bench programs and runs them beside the baseline. Needs clang-19, root and BPF.
set -eu
cd "$(dirname "$0")/.."
for tool in clang-19 cargo; do command -v $tool >/dev/null || { echo "NOT RUN  bench: $tool is not installed"; exit 3; }; done
[ "$(id -u)" = 0 ] || { echo "NOT RUN  bench: needs root"; exit 3; }
mkdir -p build
clang-19 -O2 -g -target bpf -mcpu=v3 -Wall -Wno-unused-function -Werror -Iinclude -I. -c bench/bench.bpf.c -o build/bench.bpf.o
cargo build -q --release -p fqdnc -p kernel-tests --bins
exec ../target/release/bench build/bench.bpf.o ../target/release/fqdnc "$@"
