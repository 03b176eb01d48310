# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

# Backend.AI 25.15: manager, agent (its own "dummy" backend below it, extended),
# storage-proxy, webserver, app proxy (coordinator and worker).  Sourced by lib.sh.

RELEASE_NEWEST=25.15.12
RELEASE_PYTHON=3.13
COMPONENTS="webserver proxy-worker agent manager storage proxy-coordinator"

PORT_MANAGER=$((BASE + 4))
PORT_AGENT=$((BASE + 5))
PORT_AGENT_SOCK=$((BASE + 6))
PORT_AGENT_META=$((BASE + 7))
PORT_STORAGE_CLIENT=$((BASE + 8))
PORT_STORAGE_MANAGER=$((BASE + 9))
PORT_PROXY_COORDINATOR=$((BASE + 10))
PORT_PROXY_WORKER=$((BASE + 13))
PORT_WEBSERVER=$((BASE + 14))
# the internal APIs: health, metrics
PORT_MANAGER_INTERNAL=$((BASE + 15))
PORT_AGENT_INTERNAL=$((BASE + 16))
PORT_STORAGE_INTERNAL=$((BASE + 17))
PORT_MON_MANAGER=$((BASE + 20)) # +pidx
PORT_MON_AGENT=$((BASE + 30))
PORT_MON_COORDINATOR=$((BASE + 36)) # +pidx
PORT_MON_WORKER=$((BASE + 38))   # +pidx
PORT_MON_STORAGE=$((BASE + 40))
PORT_APPS=$((BASE + 50)) # ..+59, one per started app

ADMIN_AK=AKIAREALSTACKADMIN00
ADMIN_SK=realstack-admin-secret-key-0000000000000
USER_AK=AKIAREALSTACKUSER000
USER_SK=realstack-user-secret-key-00000000000000
STORAGE_SECRET=realstack-manager-to-storage
APPPROXY_SECRET=realstack-manager-to-appproxy
IMAGE=cr.standin.local/stable/python:3.9-ubuntu20.04

# The manager makes a Docker client object at start and dies without an address
# for it.  Nothing listens there, and no call made here needs it.
COMPONENT_ENV+=("DOCKER_HOST=tcp://127.0.0.1:1")

release_install() {
    # install unlinks first: the file may be a hard link into uv's cache
    install -m 644 "$FAMILY_DIR/standin_backend.py" "$SITE/ai/backend/agent/dummy/__init__.py"
    install -m 644 "$HERE/standin_app.py" "$SITE/ai/backend/agent/dummy/"
}

# [logging] and, with REALSTACK_OTEL set, Backend.AI's own [otel] (gRPC only)
tail_sections() { # NAME
    toml_logging "$1"
    if [ -n "${REALSTACK_OTEL-}" ]; then
        printf '[otel]\nenabled = true\nlog-level = "INFO"\nendpoint = "http://127.0.0.1:%s"\n' "$PORT_OTLP_GRPC"
    fi
}

release_config() {
    if [ ! -f "$CONF/manager.key_secret" ]; then
        "$PY" -c 'import sys, zmq.auth; zmq.auth.create_certificates(sys.argv[1], "manager")' "$CONF"
    fi

    {
        toml_etcd
        cat <<EOT
[db]
type = "postgresql"
addr = { host = "127.0.0.1", port = $PORT_PG }
name = "backend"
user = "postgres"
password = "unused"
[manager]
id = "i-realstack-manager"
num-proc = ${REALSTACK_MANAGER_PROCS:-1}
service-addr = { host = "127.0.0.1", port = $PORT_MANAGER }
announce-addr = { host = "127.0.0.1", port = $PORT_MANAGER }
internal-addr = { host = "127.0.0.1", port = $PORT_MANAGER_INTERNAL }
announce-internal-addr = { host = "127.0.0.1", port = $PORT_MANAGER_INTERNAL }
rpc-auth-manager-keypair = "$CONF/manager.key_secret"
ipc-base-path = "$REALSTACK_DIR/ipc"
event-loop = "${REALSTACK_EVENT_LOOP:-uvloop}"
heartbeat-timeout = 40.0
aiomonitor-termui-port = $PORT_MON_MANAGER
aiomonitor-webui-port = $((PORT_MON_MANAGER + 5))
hide-agents = false
${REALSTACK_MANAGER_EXTRA:-}
[docker-registry]
ssl-verify = false
[debug]
enabled = false
log-events = true
EOT
        tail_sections manager
    } >"$CONF/manager.toml"

    {
        toml_etcd
        cat <<EOT
[agent]
backend = "dummy"
id = "i-realstack-agent"
region = "local"
instance-type = "standin"
scaling-group = "default"
rpc-listen-addr = { host = "127.0.0.1", port = $PORT_AGENT }
service-addr = { host = "127.0.0.1", port = $PORT_AGENT_INTERNAL }
announce-addr = { host = "127.0.0.1", port = $PORT_AGENT_INTERNAL }
agent-sock-port = $PORT_AGENT_SOCK
metadata-server-bind-host = "127.0.0.1"
metadata-server-port = $PORT_AGENT_META
ipc-base-path = "$REALSTACK_DIR/ipc"
var-base-path = "$DATA/agent-var"
mount-path = "$DATA/vfroot"
image-commit-path = "$DATA/agent-commit"
event-loop = "${REALSTACK_EVENT_LOOP:-uvloop}"
aiomonitor-termui-port = $PORT_MON_AGENT
aiomonitor-webui-port = $((PORT_MON_AGENT + 5))
[container]
bind-host = "127.0.0.1"
scratch-type = "hostdir"
scratch-root = "$DATA/agent-scratch"
port-range = [$PORT_CONTAINERS, $((PORT_CONTAINERS + 1000))]
[resource]
reserved-cpu = 0
reserved-mem = "0"
reserved-disk = "0"
[debug]
enabled = false
log-events = true
EOT
        tail_sections agent
    } >"$CONF/agent.toml"

    # read from the working directory; seconds slept at each step
    cat >"$CONF/agent.dummy.toml" <<EOT
[agent.delay]
scan-image = 0.05
pull-image = 0.2
destroy-kernel = 0.2
clean-kernel = 0.1
create-network = 0.05
destroy-network = 0.05
[agent.image]
[agent.resource.cpu]
num-core = 8
[agent.resource.memory]
size = 34359738368
[kernel-creation-ctx.delay]
prepare-scratch = 0.05
prepare-ssh = 0.05
spawn = 0.1
start-container = 0.3
mount-krunner = 0.05
[kernel]
use-fake-code-runner = true
[kernel.delay]
start-service = 0.05
EOT

    mkdir -p "$DATA/vfroot/volume1"
    echo 3 >"$DATA/vfroot/volume1/version.txt"
    {
        toml_etcd
        cat <<EOT
[storage-proxy]
node-id = "i-realstack-storage"
num-proc = ${REALSTACK_STORAGE_PROCS:-1}
event-loop = "${REALSTACK_EVENT_LOOP:-uvloop}"
ipc-base-path = "$REALSTACK_DIR/ipc"
secret = "realstack-storage-private"
session-expire = "1d"
max-upload-size = "1g"
use-watcher = false
aiomonitor-termui-port = $PORT_MON_STORAGE
aiomonitor-webui-port = $((PORT_MON_STORAGE + 5))
[api.client]
service-addr = { host = "127.0.0.1", port = $PORT_STORAGE_CLIENT }
ssl-enabled = false
[api.manager]
service-addr = { host = "127.0.0.1", port = $PORT_STORAGE_MANAGER }
announce-addr = { host = "127.0.0.1", port = $PORT_STORAGE_MANAGER }
internal-addr = { host = "127.0.0.1", port = $PORT_STORAGE_INTERNAL }
announce-internal-addr = { host = "127.0.0.1", port = $PORT_STORAGE_INTERNAL }
ssl-enabled = false
secret = "$STORAGE_SECRET"
[volume.volume1]
backend = "vfs"
path = "$DATA/vfroot/volume1"
[debug]
enabled = false
log-events = true
EOT
        tail_sections storage
    } >"$CONF/storage-proxy.toml"

    {
        cat <<EOT
[service]
ip = "127.0.0.1"
port = $PORT_WEBSERVER
mode = "webui"
[api]
domain = "default"
endpoint = "http://127.0.0.1:$PORT_MANAGER"
text = "realstack"
ssl_verify = false
auth_token_name = "sToken"
[session]
max_age = 604800
[session.redis]
addr = "127.0.0.1:$PORT_REDIS"
[pipeline]
endpoint = "http://127.0.0.1:1"
frontend-endpoint = "http://127.0.0.1:1"
[webserver]
event-loop = "${REALSTACK_EVENT_LOOP:-uvloop}"
ipc-base-path = "$REALSTACK_DIR/ipc"
[debug]
enabled = false
EOT
        tail_sections webserver
    } >"$CONF/webserver.toml"

    {
        # the manager's call to /v2/conf carries no token in this release
        cat <<EOT
[db]
type = "postgresql"
addr = { host = "127.0.0.1", port = $PORT_PG }
name = "appproxy"
user = "postgres"
password = "unused"
[redis]
addr = { host = "127.0.0.1", port = $PORT_REDIS }
[proxy_coordinator]
id = "i-realstack-coordinator"
event_loop = "${REALSTACK_EVENT_LOOP:-uvloop}"
ipc_base_path = "$REALSTACK_DIR/ipc"
bind_addr = { host = "127.0.0.1", port = $PORT_PROXY_COORDINATOR }
advertised_addr = { host = "127.0.0.1", port = $PORT_PROXY_COORDINATOR }
announce_addr = { host = "127.0.0.1", port = $PORT_PROXY_COORDINATOR }
tls_listen = false
tls_advertised = false
allow_unauthorized_configure_request = true
unused_circuit_collection_timeout = 30
aiomonitor_termui_port = $PORT_MON_COORDINATOR
aiomonitor_webui_port = $((PORT_MON_COORDINATOR + 1))
EOT
        appproxy_secrets
        tail_sections proxy-coordinator
    } >"$CONF/coordinator.toml"

    {
        cat <<EOT
[redis]
addr = { host = "127.0.0.1", port = $PORT_REDIS }
[proxy_worker]
id = "i-realstack-appworker"
event_loop = "${REALSTACK_EVENT_LOOP:-uvloop}"
ipc_base_path = "$REALSTACK_DIR/ipc"
coordinator_endpoint = "http://127.0.0.1:$PORT_PROXY_COORDINATOR"
authority = "worker-1"
tls_listen = false
tls_advertised = false
frontend_mode = "port"
protocol = "http"
accepted_traffics = ["inference", "interactive"]
api_bind_addr = { host = "127.0.0.1", port = $PORT_PROXY_WORKER }
api_advertised_addr = { host = "127.0.0.1", port = $PORT_PROXY_WORKER }
announce_addr = { host = "127.0.0.1", port = $PORT_PROXY_WORKER }
aiomonitor_termui_port = $PORT_MON_WORKER
aiomonitor_webui_port = $((PORT_MON_WORKER + 1))
[proxy_worker.port_proxy]
bind_host = "127.0.0.1"
advertised_host = "127.0.0.1"
bind_port_range = [$PORT_APPS, $((PORT_APPS + 9))]
EOT
        appproxy_secrets
        tail_sections proxy-worker
    } >"$CONF/appworker.toml"
}

appproxy_secrets() {
    cat <<EOT
[secrets]
api_secret = "$APPPROXY_SECRET"
jwt_secret = "realstack-appproxy-jwt-secret-0000000000"
[permit_hash]
secret = "realstack-appproxy-permit"
[debug]
enabled = false
log_events = true
EOT
}

# The etcd client of this release (Rust) now and then aborts the interpreter at
# exit, after the work is done; every call made here can be made twice.
mgr() {
    local try
    for try in 1 2 3; do
        (cd "$CONF" && "$VENV/bin/backend.ai" mgr -f "$CONF/manager.toml" "$@") && return
    done
    return 1
}

release_seed() {
    cat >"$CONF/alembic.ini" <<EOT
[alembic]
script_location = ai.backend.manager.models:alembic
sqlalchemy.url = postgresql+asyncpg://postgres:unused@127.0.0.1:$PORT_PG/backend
EOT
    # the coordinator's alembic environment insists on logging sections
    cat >"$CONF/alembic-appproxy.ini" <<EOT
[alembic]
script_location = ai.backend.appproxy.coordinator.models:alembic
sqlalchemy.url = postgresql+asyncpg://postgres:unused@127.0.0.1:$PORT_PG/appproxy
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = INFO
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain
[formatter_plain]
format = %(message)s
EOT
    jq -n --arg redis "127.0.0.1:$PORT_REDIS" \
        --arg c "http://127.0.0.1:$PORT_STORAGE_CLIENT" --arg m "http://127.0.0.1:$PORT_STORAGE_MANAGER" --arg s "$STORAGE_SECRET" '{
        config: {redis: {addr: $redis}, api: {"allow-graphql-schema-introspection": "yes"}},
        volumes: {
            _types: {user: "", group: ""},
            default_host: "local:volume1",
            exposed_volume_info: "percentage",
            proxies: {local: {client_api: $c, manager_api: $m, secret: $s, ssl_verify: "false"}}
        }}' >"$CONF/etcd.json"
    jq -n --arg aak "$ADMIN_AK" --arg ask "$ADMIN_SK" --arg uak "$USER_AK" --arg usk "$USER_SK" \
        --arg ws "http://127.0.0.1:$PORT_PROXY_COORDINATOR" --arg wst "$APPPROXY_SECRET" '
        {"local:volume1": ["create-vfolder", "modify-vfolder", "delete-vfolder", "mount-in-session",
                           "upload-file", "download-file", "invite-others", "set-user-specific-permission"]} as $hosts
        | "5f4e0000-0000-4000-8000-0000000000a1" as $admin
        | "5f4e0000-0000-4000-8000-0000000000b1" as $user
        | "5f4e0000-0000-4000-8000-0000000000c1" as $project
        | {status: "active", status_info: "fixture", need_password_change: false,
           domain_name: "default", resource_policy: "default", main_access_key: null} as $person
        | {is_active: true, resource_policy: "default", rate_limit: 30000, num_queries: 0} as $key
        | {
        domains: [{name: "default", description: "realstack", is_active: true, total_resource_slots: {},
                   allowed_vfolder_hosts: $hosts, allowed_docker_registries: ["cr.standin.local"]}],
        container_registries: [{id: "5f4e0000-0000-4000-8000-0000000000d1", registry_name: "cr.standin.local",
                   url: "http://cr.standin.local", type: "harbor2", project: "stable"}],
        user_resource_policies: [{name: "default", max_vfolder_count: 1000, max_quota_scope_size: -1,
                   max_session_count_per_model_session: 10, max_customized_image_count: 3}],
        project_resource_policies: [{name: "default", max_vfolder_count: 1000, max_quota_scope_size: -1, max_network_count: 3}],
        keypair_resource_policies: [{name: "default", default_for_unspecified: "UNLIMITED", total_resource_slots: {},
                   max_session_lifetime: 0, max_concurrent_sessions: 30, max_containers_per_session: 4,
                   idle_timeout: 3600, allowed_vfolder_hosts: $hosts}],
        groups: [{id: $project, name: "default", description: "realstack", is_active: true, domain_name: "default",
                  type: "general", resource_policy: "default", total_resource_slots: {}, allowed_vfolder_hosts: $hosts}],
        scaling_groups: [{name: "default", description: "realstack", is_active: true, driver: "static",
                  driver_opts: {}, scheduler: "fifo", scheduler_opts: {allowed_session_types: ["interactive", "batch", "inference"]}, wsproxy_addr: $ws, wsproxy_api_token: $wst}],
        sgroups_for_domains: [{scaling_group: "default", domain: "default"}],
        users: [$person + {uuid: $admin, username: "admin", email: "admin@realstack.local", password: "realstack-admin", full_name: "Admin", description: "", role: "superadmin"},
                $person + {uuid: $user, username: "user", email: "user@realstack.local", password: "realstack-user", full_name: "User", description: "", role: "user"}],
        association_groups_users: [{group_id: $project, user_id: $admin}, {group_id: $project, user_id: $user}],
        keypairs: [$key + {user_id: "admin@realstack.local", access_key: $aak, secret_key: $ask, is_admin: true, user: $admin},
                   $key + {user_id: "user@realstack.local", access_key: $uak, secret_key: $usk, is_admin: false, user: $user}],
        resource_presets: [{name: "small", resource_slots: {cpu: "1", mem: "1073741824"}}]
        }' >"$CONF/fixtures.json"

    sql -d template1 -c 'drop database if exists backend' -c 'create database backend' \
        -c 'drop database if exists appproxy' -c 'create database appproxy'
    mgr etcd put-json "" "$CONF/etcd.json" >"$LOG/seed-etcd.log" 2>&1 &
    local etcd_job=$!
    mgr schema oneshot -f "$CONF/alembic.ini" >"$LOG/seed-schema.log" 2>&1 || die "schema, see $LOG/seed-schema.log"
    wait "$etcd_job" || die "etcd entries, see $LOG/seed-etcd.log"
    (cd "$CONF" && "$VENV/bin/alembic" -c alembic-appproxy.ini upgrade head) >"$LOG/seed-appproxy.log" 2>&1 &
    local appproxy_job=$!
    mgr fixture populate "$CONF/fixtures.json" >"$LOG/seed-fixtures.log" 2>&1 || die "fixtures, see $LOG/seed-fixtures.log"
    wait "$appproxy_job" || die "app proxy schema, see $LOG/seed-appproxy.log"
    [ "$(sql -d backend -c 'select count(*) from keypairs')" = 2 ] || die "fixtures, see $LOG/seed-fixtures.log"
    sql -d backend >/dev/null <<EOT
update users set main_access_key = '$ADMIN_AK' where username = 'admin';
update users set main_access_key = '$USER_AK' where username = 'user';
insert into images (name, project, image, tag, registry, registry_id, architecture, config_digest, size_bytes, type, labels, resources)
values ('$IMAGE', 'stable', 'python', '3.9-ubuntu20.04', 'cr.standin.local', '5f4e0000-0000-4000-8000-0000000000d1',
        '$(uname -m)', 'sha256:$(printf '%064d' 0)', 1, 'COMPUTE',
        '{"ai.backend.role": "COMPUTE", "ai.backend.kernelspec": "1", "ai.backend.runtime-type": "python",
          "ai.backend.runtime-path": "/usr/bin/python", "ai.backend.base-distro": "ubuntu20.04",
          "ai.backend.features": "batch query user-input", "ai.backend.service-ports": "jupyter:http:8081",
          "ai.backend.resource.min.cpu": "1", "ai.backend.resource.min.mem": "64m"}',
        '{"cpu": {"min": "1", "max": null}, "mem": {"min": "64m", "max": null}}');
EOT
}

agent_ready() { [ "$(sql -d backend -c "select status from agents where id = 'i-realstack-agent'")" = ALIVE ]; }
worker_ready() { [ "$(sql -d appproxy -c "select status from workers where authority = 'worker-1'")" = ALIVE ]; }

release_start() {
    # The manager sees the agents which come after it at once, but those which
    # came before only with their next heartbeat.
    server storage storage ai.backend.storage.server -f "$CONF/storage-proxy.toml"
    server manager mgr ai.backend.manager.server -f "$CONF/manager.toml"
    server agent ag ai.backend.agent.server -f "$CONF/agent.toml"
    server proxy-coordinator app-proxy-coordinator ai.backend.appproxy.coordinator.server -f "$CONF/coordinator.toml"
    server webserver web ai.backend.web.server -f "$CONF/webserver.toml"

    wait_for 90 "storage-proxy" storage curl -sS -m 2 -o /dev/null "http://127.0.0.1:$PORT_STORAGE_MANAGER/"
    say "storage-proxy answers"
    wait_for 120 "app proxy coordinator" proxy-coordinator http_ok "http://127.0.0.1:$PORT_PROXY_COORDINATOR/status"
    # registers itself with the coordinator, once, at start
    server proxy-worker app-proxy-worker ai.backend.appproxy.worker.server -f "$CONF/appworker.toml"
    wait_for 120 "manager API" manager http_ok "http://127.0.0.1:$PORT_MANAGER/"
    say "manager answers"
    wait_for 90 "webserver" webserver http_ok "http://127.0.0.1:$PORT_WEBSERVER/config.toml"
    wait_for 120 "app proxy worker" proxy-worker worker_ready
    say "webserver and app proxy answer"
    wait_for 90 "agent registration" agent agent_ready
    say "agent is ALIVE"
}

release_probes() {
    cat <<EOT
manager $PORT_MANAGER_INTERNAL /metrics /metrics/service_discovery
agent $PORT_AGENT_INTERNAL /health /metrics
storage $PORT_STORAGE_MANAGER /health /status
storage $PORT_STORAGE_INTERNAL /metrics
proxy-coordinator $PORT_PROXY_COORDINATOR /health /status /metrics
proxy-worker $PORT_PROXY_WORKER /health /status /metrics
webserver $PORT_WEBSERVER /health
EOT
}

release_client_env() {
    cat <<EOT
export BACKEND_ENDPOINT=http://127.0.0.1:$PORT_MANAGER
export BACKEND_ENDPOINT_TYPE=api
export BACKEND_ACCESS_KEY=$ADMIN_AK
export BACKEND_SECRET_KEY=$ADMIN_SK
export REALSTACK_WEBSERVER=http://127.0.0.1:$PORT_WEBSERVER
export REALSTACK_EMAIL=admin@realstack.local
export REALSTACK_PASSWORD=realstack-admin
export REALSTACK_IMAGE=$IMAGE
EOT
}
