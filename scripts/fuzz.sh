#!/bin/sh
# Runs every fuzz target of the module for a short while: fuzz.sh [TIME], which is
# that of go test -fuzztime. A target fails on the first input that breaks its rule;
# go test leaves that input in the package's testdata/fuzz.
set -eu
time=${1:-50000x}
cd "$(dirname "$0")/.."
ran=0
for file in $(grep -rl --include='*_test.go' '^func Fuzz' . | sort); do
	package=$(dirname "$file")
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		echo "fuzz $package $target $time"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
		ran=$((ran + 1))
	done
done
[ "$ran" -gt 0 ] || { echo "fuzz: no targets found" >&2; exit 1; }
