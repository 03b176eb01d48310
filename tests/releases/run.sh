#!/usr/bin/env bash
# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

# Tests against released Backend.AI wheels from PyPI, each release in a virtual environment of its own:
#   tests/releases/run.sh 26.9.6 23.9.10 [-- PYTEST-ARGUMENTS]
# Needed: redis-server, and the Python of the release on PATH (3.11 for 23.9, 3.12 for 24.3 to 25.5, 3.13 for later ones).
# The environments are kept in $RELEASES_CACHE (default: ~/.cache/otel-backendai/releases).
set -euo pipefail

tree=$(cd "$(dirname "$0")/../.." && pwd)
cache=${RELEASES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/otel-backendai/releases}

releases=()
while (($#)); do
    if [[ $1 == -- ]]; then shift; break; fi
    releases+=("$1"); shift
done
((${#releases[@]})) || { echo "usage: $0 RELEASE... [-- PYTEST-ARGUMENTS]" >&2; exit 2; }
command -v redis-server >/dev/null || { echo "redis-server is missing (Debian: apt-get install redis-server)" >&2; exit 2; }

install() {  # VENV PACKAGE...
    local venv=$1; shift
    if command -v uv >/dev/null; then
        uv pip install --quiet --python "$venv/bin/python" "$@"
    else
        "$venv/bin/python" -m pip install --quiet "$@"
    fi
}

interpreter() {  # VERSION; from PATH, pyenv or uv
    local found
    for found in "$(command -v "python$1" || true)" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python \
        "$(uv python find --no-python-downloads "$1" 2>/dev/null || true)"; do
        # A pyenv shim stands on PATH for versions that are not switched on, too.
        if [[ -x $found ]] && "$found" --version >/dev/null 2>&1; then echo "$found"; return; fi
    done
    echo "Python $1 is missing" >&2
    return 1
}

prepare() {  # RELEASE VENV
    local release=$1 venv=$2 python=3.13 held=() proxy=(backend.ai-appproxy-coordinator backend.ai-appproxy-worker)
    case $release in
        23.*) python=3.11 held=("setuptools<81" "yarl==1.9.4") proxy=() ;;
        24.*) python=3.12 held=("setuptools<81") proxy=(backend.ai-wsproxy) ;;
        # Later ones have another class for what `type X = ...` makes, which pydantic 2.9 does not know.
        25.[1-5].*) python=3.12 held=("setuptools<81" "typing-extensions<4.13") proxy=(backend.ai-wsproxy) ;;
        25.[6-9].* | 25.10.*) proxy=(backend.ai-wsproxy) ;;
        # Their client of Redis imports sniffio, which none of their requirements brings.
        25.11.* | 25.12.*) proxy=(backend.ai-wsproxy) held=("sniffio") ;;
        25.13.*) held=("sniffio") ;;
    esac
    if [[ ! -e $venv/.ready ]]; then
        rm -rf "$venv"
        mkdir -p "$(dirname "$venv")"
        "$(interpreter "$python")" -m venv "$venv"
        # One resolution: what the release pins decides about our dependencies, never the other way round.
        install "$venv" "backend.ai-manager==$release" "backend.ai-agent==$release" "backend.ai-storage-proxy==$release" \
            "backend.ai-webserver==$release" "${proxy[@]/%/==$release}" "$tree" "pytest>=8" "pytest-asyncio>=0.24" "${held[@]}"
        touch "$venv/.ready"
    fi
    install "$venv" --no-deps --editable "$tree"
}

failed=()
for release in "${releases[@]}"; do
    echo "== Backend.AI $release"
    venv=$cache/$release
    prepare "$release" "$venv"
    (cd "$tree" && PYTHONPATH="$tree" "$venv/bin/python" -m pytest -c tests/releases/pytest.ini tests/releases "$@") ||
        failed+=("$release")
done
((${#failed[@]} == 0)) || { echo "failed: ${failed[*]}" >&2; exit 1; }
