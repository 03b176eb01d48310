# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

# Shared by up.sh, down.sh and the release files.  Sourced, not run.

HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

say() { printf '[realstack %5ss] %s\n' "$(($(date +%s) - ${T0:-$(date +%s)}))" "$*"; }
die() { printf '[realstack] FAILED: %s\n' "$*" >&2; exit 1; }

# --- which release -----------------------------------------------------------

# REALSTACK_RELEASE is a version (26.9.6) or a family (26.9); without it the
# work directory says which one it belongs to.
if [ -z "${REALSTACK_RELEASE-}" ] && [ -n "${REALSTACK_DIR-}" ] && [ -f "$REALSTACK_DIR/release" ]; then
    REALSTACK_RELEASE=$(cat "$REALSTACK_DIR/release")
fi
RELEASE=${REALSTACK_RELEASE:-26.9.6}
FAMILY=$(cut -d. -f1,2 <<<"$RELEASE")
FAMILY_DIR=$HERE/releases/$FAMILY
[ -f "$FAMILY_DIR/release.sh" ] || die "no release $RELEASE here, only: $(cd "$HERE/releases" && echo *)"

REALSTACK_DIR=${REALSTACK_DIR:-${TMPDIR:-/tmp}/realstack-$FAMILY}
VENV=${REALSTACK_VENV:-$REALSTACK_DIR/venv}
PY=$VENV/bin/python
BASE=${REALSTACK_PORT_BASE:-28100}

# One block of 60 ports, all on 127.0.0.1.  A release names its own from +4 on.
PORT_PG=$((BASE + 0))
PORT_REDIS=$((BASE + 1))
PORT_ETCD=$((BASE + 2))
PORT_ETCD_PEER=$((BASE + 3))
PORT_OTLP=$((BASE + 11))      # OTLP over HTTP
PORT_OTLP_GRPC=$((BASE + 12))
PORT_CONTAINERS=$((BASE + 1900)) # and the thousand after it: of users' programs
# Beside a desk, which has the port of OTLP over HTTP, the sink is there for gRPC.
PORT_SINK=$PORT_OTLP
[ -z "${REALSTACK_DESK-}" ] || PORT_SINK=$((BASE + 18))

RUN=$REALSTACK_DIR/run
LOG=$REALSTACK_DIR/log
CONF=$REALSTACK_DIR/conf
DATA=$REALSTACK_DIR/data

# --- processes ---------------------------------------------------------------

# The start time of a process in clock ticks: with the pid it names one process.
start_ticks() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# pid of NAME if it is still the very process that was started, else nothing
alive_pid() {
    local pid ticks
    [ -f "$RUN/$1.pid" ] || return 1
    read -r pid ticks <"$RUN/$1.pid"
    [ -n "$ticks" ] && [ "$(start_ticks "$pid")" = "$ticks" ] || return 1
    [ "$(sed 's/^.*) //' "/proc/$pid/stat" | cut -d' ' -f1)" != Z ] || return 1
    echo "$pid"
}

# launch NAME CMD...: in a session of its own, output to log/NAME.log; run/NAME.command is what was started
launch() {
    local name=$1 pid
    shift
    [ -f "$LOG/$name.log" ] && mv -f "$LOG/$name.log" "$LOG/$name.log.1"
    setsid "$@" >"$LOG/$name.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid $(start_ticks "$pid")" >"$RUN/$name.pid"
    echo "$*" >"$RUN/$name.command"
}

# component NAME CMD...: launch, unless it runs, in $CONF, with the prefix and
# the extra environment of that component (NAME in capitals, - as _) in front
component() {
    local name=$1 key prefix extra pair
    shift
    alive_pid "$name" >/dev/null && return 0
    rm -f "$LOG/json/$name.json"*
    key=$(tr 'a-z-' 'A-Z_' <<<"$name")
    local p="LAUNCH_PREFIX_$key" e="ENV_$key"
    prefix=${!p-${LAUNCH_PREFIX-}}
    extra=${!e-}
    local -a envs=("PATH=$VENV/bin:$PATH" "OTEL_SERVICE_NAME=backend.ai-$name" ${COMPONENT_ENV[@]+"${COMPONENT_ENV[@]}"})
    # KEY=VALUE pairs, one per line or, where there is one line only, by spaces
    case $extra in *$'\n'*) local IFS=$'\n' ;; esac
    for pair in $extra; do envs+=("$pair"); done
    unset IFS
    # shellcheck disable=SC2086  # the prefix is a command line, split on purpose
    (cd "$CONF" && launch "$name" env "${envs[@]}" $prefix "$@")
}

# server NAME COMMAND MODULE ARGS...: a component of Backend.AI, by its command
# (backend.ai COMMAND start-server) or by its module, as REALSTACK_START says
server() {
    local name=$1 command=$2 module=$3
    shift 3
    case ${REALSTACK_START:-command} in
    command) component "$name" backend.ai "$command" start-server "$@" ;;
    module) component "$name" python -m "$module" "$@" ;;
    *) die "REALSTACK_START is command or module, not $REALSTACK_START" ;;
    esac
}

# wait_for SECONDS WHAT NAME CMD...: until CMD succeeds; gives up if NAME died, or
# after SECONDS times REALSTACK_PATIENCE
wait_for() {
    local left=$(($1 * 4 * ${REALSTACK_PATIENCE:-1})) what=$2 name=$3
    shift 3
    until "$@" >/dev/null 2>&1; do
        alive_pid "$name" >/dev/null || { tail -n 25 "$LOG/$name.log" >&2; die "$name exited while waiting for $what"; }
        left=$((left - 1))
        [ "$left" -gt 0 ] || { tail -n 25 "$LOG/$name.log" >&2; die "no $what in time (log: $LOG/$name.log)"; }
        sleep 0.25
    done
}

http_ok() { curl -fsS -m 2 -o /dev/null "$@"; }

sql() { PGOPTIONS='-c client_min_messages=warning' psql -h 127.0.0.1 -p "$PORT_PG" -U postgres -v ON_ERROR_STOP=1 -qAt "$@"; }

# --- TOML sections which all components of all releases share ------------------

toml_logging() { # NAME: to the console, whose lines are log/NAME.log, and as JSON into log/json/NAME.json
    cat <<EOT
[logging]
level = "${REALSTACK_LOG_LEVEL:-INFO}"
drivers = ["console", "file"]
[logging.pkg-ns]
"" = "WARNING"
"aiotools" = "INFO"
"aiohttp" = "INFO"
"ai.backend" = "${REALSTACK_LOG_LEVEL:-INFO}"
"alembic" = "INFO"
"sqlalchemy" = "WARNING"
[logging.console]
colored = false
format = "verbose"
[logging.file]
path = "$LOG/json"
filename = "$1.json"
rotation-size = "100M"
EOT
}

toml_etcd() {
    printf '[etcd]\nnamespace = "realstack"\naddr = { host = "127.0.0.1", port = %s }\nuser = ""\npassword = ""\n' "$PORT_ETCD"
}

# --- what the release adds (contract: README.md) -------------------------------

COMPONENTS=""      # names in the order in which down.sh stops them
COMPONENT_ENV=()   # KEY=VALUE for every component
RELEASE_NEWEST=""  # taken when REALSTACK_RELEASE names the family only
RELEASE_PYTHON=""  # e.g. 3.11
release_install() { :; }
release_probes() { :; }
# shellcheck source=/dev/null
. "$FAMILY_DIR/release.sh"
[ "$RELEASE" != "$FAMILY" ] || RELEASE=$RELEASE_NEWEST
