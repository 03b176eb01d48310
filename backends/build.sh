#!/bin/sh
# Builds Jaeger and a Collector from this Go module into a cache outside the tree, once per state of the module,
# and prints the directory that holds both: `$(backends/build.sh)/jaeger --config backends/jaeger.yaml`.
set -eu
cd "$(dirname "$0")"

digest() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }
state=$(cat go.mod go.sum otelcol/main.go | digest | cut -c1-16)
directory=${XDG_CACHE_HOME:-$HOME/.cache}/otel-backendai/backends/$state

build() { # NAME PACKAGE
    [ -x "$directory/$1" ] && return
    if ! command -v go >/dev/null; then
        echo "Go is needed to build $1 (https://go.dev/dl/); docker-compose.yaml gives the same without it." >&2
        exit 1
    fi
    echo "building $1, some minutes the first time" >&2
    # Modules are checked against go.sum. Two packages at a time and last in line: this is nobody's only work.
    GOFLAGS=-mod=readonly nice -n 10 go build -p 2 -buildvcs=false -ldflags='-s -w' -o "$directory/$1.$$" "$2" >&2
    mv "$directory/$1.$$" "$directory/$1"
}

mkdir -p "$directory"
build otelcol ./otelcol
build jaeger github.com/jaegertracing/jaeger/cmd/jaeger
echo "$directory"
