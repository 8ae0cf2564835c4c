#!/usr/bin/env bash
# The parser for user space, with sanitizers: build.sh OUT [-DFUZZ -fsanitize=fuzzer]. Exit 3 = there is no such compiler here.
set -eu
echo 'int main(void) { return 0; }' | clang-19 -fsanitize=address,undefined -x c - -o /dev/null 2>/dev/null || exit 3
cd "$(dirname "$0")/.."
out=$1
shift
# Unaligned loads are the kernel's way on the machines that it runs on, and bpf_loop takes any step; the rest of undefined behaviour counts.
exec clang-19 -g -O1 -w -fsanitize=address,undefined -fno-sanitize=alignment,function -fno-sanitize-recover=undefined \
    -Inative -Iinclude -I. "$@" native/parser.c -o "$out"
