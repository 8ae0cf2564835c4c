#!/usr/bin/env bash
# Builds the bench programs as the calling user and runs them beside the baseline as root. Needs clang-19 and BPF.
# With BENCH_MOMENT set each runs for a moment, by the binaries that the tests use.
set -eu
cd "$(dirname "$0")/.."
for tool in clang-19 cargo; do command -v $tool >/dev/null || { echo "NOT RUN  bench: $tool is not installed"; exit 3; }; done
profile=release
[ -z "${BENCH_MOMENT:-}" ] || profile=debug
mkdir -p build
for program in bench dataplane; do
	clang-19 -O2 -g -target bpf -mcpu=v3 -Wall -Wno-unused-function -Werror -Iinclude -I. -c bench/$program.bpf.c -o build/$program.bpf.o
done
cargo build -q $([ $profile = debug ] || echo --release) -p fqdnc -p kernel-tests --bins
../.ci/root ../target/$profile/dataplane build/dataplane.bpf.o
exec ../.ci/root ../target/$profile/bench build/bench.bpf.o ../target/$profile/fqdnc "$@"
