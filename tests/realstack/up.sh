#!/usr/bin/env bash
# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

# Starts a released Backend.AI cluster natively (no container engine), loopback
# only.  Safe to run again: what is already there or already running is kept.
# See README.md for the settings; what differs between releases is in releases/.
#   up.sh [--install]
# --install stops when the virtualenv is complete, and starts nothing.
set -euo pipefail
T0=$(date +%s)
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

mkdir -p "$REALSTACK_DIR"
# two releases in one directory would share databases which they cannot share
was=$(cat "$REALSTACK_DIR/release" 2>/dev/null || echo "$RELEASE")
[ "$was" = "$RELEASE" ] || die "$REALSTACK_DIR belongs to $was: take another REALSTACK_DIR, or down.sh --wipe it first"
# The databases hold addresses: with other ports they are made anew.
if [ -f "$REALSTACK_DIR/ports" ] && [ "$(cat "$REALSTACK_DIR/ports")" != "$BASE" ]; then
    say "the ports were $(cat "$REALSTACK_DIR/ports")..., now $BASE...: databases and configuration are made anew"
    "$HERE/down.sh" --wipe
fi
echo "$RELEASE" >"$REALSTACK_DIR/release"
echo "$BASE" >"$REALSTACK_DIR/ports"
mkdir -p "$RUN" "$LOG/json" "$CONF" "$DATA" "$REALSTACK_DIR/ipc"
chmod 755 "$REALSTACK_DIR" "$DATA"

# --- 1. programs: all that are missing are named at once ------------------------

# PostgreSQL's own directory last: Debian keeps the server out of PATH
for d in /usr/lib/postgresql/*/bin; do PATH=$PATH:$d; done

find_python() { # prints an interpreter that runs, or what uv can resolve
    local p
    for p in "${REALSTACK_PYTHON-}" "python$RELEASE_PYTHON" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$RELEASE_PYTHON".*/bin/python; do
        [ -n "$p" ] && "$p" -c '' 2>/dev/null && { command -v "$p"; return; }
    done
    command -v uv >/dev/null && echo "${REALSTACK_PYTHON:-$RELEASE_PYTHON}" # uv may know one, or fetch it
}

missing=()
need() { # PROGRAM PACKAGE
    command -v "$1" >/dev/null || missing+=("$1 (Debian: $2)")
}
if [ ! -x "$PY" ]; then
    PYTHON=$(find_python) || missing+=("Python $RELEASE_PYTHON (from PATH, pyenv or uv; or REALSTACK_PYTHON=PATH)")
fi
need curl curl
ETCD=${REALSTACK_ETCD:-$(command -v etcd || echo "$REALSTACK_DIR/etcd/usr/bin/etcd")}
if [ "${1-}" != --install ]; then
    need initdb postgresql
    need psql postgresql-client
    need redis-server redis-server
    need redis-cli redis-tools
    need jq jq
    [ -x "$ETCD" ] || command -v apt-get >/dev/null || missing+=("etcd (Debian: etcd-server; or REALSTACK_ETCD=PATH)")
    if [ "$(id -u)" = 0 ]; then # PostgreSQL refuses to run as root
        id -u postgres >/dev/null 2>&1 || missing+=("a user postgres (Debian: postgresql)")
        need setpriv util-linux
    fi
fi
if [ ${#missing[@]} -gt 0 ]; then
    list=$(printf ', %s' "${missing[@]}")
    die "not found: ${list:2}"
fi

# --- 2. Python environment ---------------------------------------------------

sed "s/@RELEASE@/$RELEASE/" "$FAMILY_DIR/requirements.txt" >"$CONF/requirements.txt"
reqs=("$CONF/requirements.txt")
# REALSTACK_REQUIREMENTS: further requirement files, separated by spaces
for f in ${REALSTACK_REQUIREMENTS-}; do
    [ -f "$f" ] || f=$FAMILY_DIR/$f
    reqs+=("$f")
done
constraints=$FAMILY_DIR/constraints.txt
[ -f "$constraints" ] || constraints=/dev/null
want=$(cat "${reqs[@]}" "$constraints" | cksum)
if [ "$(cat "$VENV/.realstack" 2>/dev/null)" != "$want" ]; then
    say "installing Backend.AI $RELEASE into $VENV"
    if command -v uv >/dev/null; then
        [ -x "$PY" ] || uv venv -q -p "$PYTHON" "$VENV"
        uv pip install -q --compile-bytecode -p "$PY" "${reqs[@]/#/-r}" -c "$constraints"
    else
        [ -x "$PY" ] || "$PYTHON" -m venv "$VENV"
        "$PY" -m pip install -q "${reqs[@]/#/-r}" -c "$constraints"
    fi
    echo "$want" >"$VENV/.realstack"
fi
SITE=$("$PY" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
install -m 644 "$HERE/loopback_only.py" "$SITE/realstack_loopback_only.py"
echo 'import realstack_loopback_only' >"$SITE/realstack_loopback_only.pth"
release_install
if [ "${1-}" = --install ]; then
    say "Backend.AI $RELEASE is installed in $VENV"
    exit
fi

if [ ! -x "$ETCD" ]; then
    say "unpacking etcd-server from the Debian archive (not installed system-wide)"
    mkdir -p "$REALSTACK_DIR/etcd"
    (cd "$REALSTACK_DIR/etcd" && apt-get download etcd-server >/dev/null 2>&1) ||
        die "no etcd, and apt-get download etcd-server fails (run apt-get update first, or set REALSTACK_ETCD)"
    dpkg -x "$REALSTACK_DIR"/etcd/etcd-server_*.deb "$REALSTACK_DIR/etcd"
fi

# --- 3. PostgreSQL, Redis, etcd ----------------------------------------------

as_pg=()
if [ "$(id -u)" = 0 ]; then
    as_pg=(setpriv --reuid=postgres --regid=postgres --init-groups)
fi
if [ ! -f "$DATA/pg/PG_VERSION" ]; then
    say "initdb"
    mkdir -p "$DATA/pg"
    [ ${#as_pg[@]} = 0 ] || chown postgres: "$DATA/pg"
    (cd "$DATA" && ${as_pg[@]+"${as_pg[@]}"} initdb -D "$DATA/pg" -U postgres -A trust -E UTF8 --no-sync) >"$LOG/initdb.log" 2>&1 ||
        die "initdb, see $LOG/initdb.log"
fi
if ! alive_pid postgres >/dev/null; then
    (cd "$DATA" && launch postgres ${as_pg[@]+"${as_pg[@]}"} "$(dirname "$(readlink -f "$(command -v initdb)")")/postgres" -D "$DATA/pg" \
        -c listen_addresses=127.0.0.1 -c port="$PORT_PG" -c unix_socket_directories= \
        -c fsync=off -c max_connections=200 -c shared_buffers=64MB)
fi
if ! alive_pid redis >/dev/null; then
    launch redis redis-server --bind 127.0.0.1 --port "$PORT_REDIS" --dir "$DATA" \
        --save "" --appendonly no --daemonize no
fi
if ! alive_pid etcd >/dev/null; then
    launch etcd "$ETCD" --data-dir "$DATA/etcd" --name realstack --log-level warn \
        --listen-client-urls "http://127.0.0.1:$PORT_ETCD" \
        --advertise-client-urls "http://127.0.0.1:$PORT_ETCD" \
        --listen-peer-urls "http://127.0.0.1:$PORT_ETCD_PEER" \
        --initial-advertise-peer-urls "http://127.0.0.1:$PORT_ETCD_PEER" \
        --initial-cluster "realstack=http://127.0.0.1:$PORT_ETCD_PEER" --unsafe-no-fsync
fi
wait_for 30 "PostgreSQL" postgres sql -d template1 -c 'select 1'
wait_for 15 "Redis" redis redis-cli -h 127.0.0.1 -p "$PORT_REDIS" ping
wait_for 30 "etcd" etcd http_ok "http://127.0.0.1:$PORT_ETCD/health"
say "PostgreSQL, Redis, etcd are up"

# --- 4. the release: configuration, schema and records (once), components -----

release_config
if [ ! -f "$DATA/.seeded" ]; then
    say "creating the schema, etcd entries and fixtures"
    release_seed
    touch "$DATA/.seeded"
fi
if [ -n "${REALSTACK_SINK-}" ] && ! alive_pid sink >/dev/null; then
    launch sink "$PY" "$HERE/otlp_sink.py" "$PORT_SINK" "$REALSTACK_DIR/otlp.jsonl" "$PORT_OTLP_GRPC"
fi
if [ -n "${REALSTACK_DESK-}" ] && ! alive_pid desk >/dev/null; then
    # shellcheck disable=SC2086  # options, split on purpose
    launch desk "$REALSTACK_DESK" desk --port "$PORT_OTLP" ${REALSTACK_DESK_OPTIONS-}
    wait_for 30 "the desk" desk http_ok "http://127.0.0.1:$PORT_OTLP/api/requests"
fi
release_start

{
    release_client_env
    cat <<EOT
export REALSTACK_DIR=$REALSTACK_DIR
export REALSTACK_FAMILY=$FAMILY
export REALSTACK_COMPONENTS="$COMPONENTS"
EOT
} >"$REALSTACK_DIR/client.env"
release_probes >"$REALSTACK_DIR/probes"
say "Backend.AI $RELEASE is ready: . $REALSTACK_DIR/client.env; $PY $HERE/smoke.py"
