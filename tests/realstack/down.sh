#!/usr/bin/env bash
# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

# Stops what up.sh started: everything, or only the names given.
#   down.sh [--wipe] [manager|agent|storage|...|sink|desk|etcd|redis|postgres ...]
# --wipe also deletes databases, configuration and logs (the virtualenv stays).
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

wipe=
if [ "${1-}" = --wipe ]; then wipe=1; shift; fi
names=${*:-$COMPONENTS sink desk etcd redis postgres}

stop() {
    local name=$1 pid sig=TERM left
    pid=$(alive_pid "$name") || { rm -f "$RUN/$name.pid"; return 0; }
    [ "$name" = postgres ] && sig=INT # "fast" shutdown
    kill "-$sig" "$pid"
    for ((left = 100; left > 0; left--)); do
        alive_pid "$name" >/dev/null || break
        sleep 0.2
    done
    # Each was started as the leader of its own session: whatever is left of it
    # (a worker, the log process) has that session id.
    local rest
    rest=$(awk -v s="$pid" '{ line = $0; sub(/^.*\) /, "", line); split(line, f, " "); if (f[4] == s && f[1] != "Z") print $1 }' /proc/[0-9]*/stat 2>/dev/null || true)
    if [ -n "$rest" ]; then
        echo "[realstack] $name: killing leftover $(echo $rest)"
        # shellcheck disable=SC2086
        kill -KILL $rest 2>/dev/null || true
    fi
    rm -f "$RUN/$name.pid"
    echo "[realstack] stopped $name"
}
for name in $names; do stop "$name"; done

if [ -n "$wipe" ]; then
    rm -rf "$DATA" "$CONF" "$LOG" "$RUN" "$REALSTACK_DIR/ipc" "$REALSTACK_DIR/client.env" \
        "$REALSTACK_DIR/otlp.jsonl" "$REALSTACK_DIR/release" "$REALSTACK_DIR/ports"
    echo "[realstack] wiped"
fi
