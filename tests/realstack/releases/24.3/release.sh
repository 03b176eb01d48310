# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

# Backend.AI 24.3: manager, agent (its own "dummy" backend below it, extended),
# storage-proxy, webserver, wsproxy (the app proxy of this time).  Sourced by lib.sh.

RELEASE_NEWEST=24.3.11
RELEASE_PYTHON=3.12
COMPONENTS="webserver wsproxy agent manager storage"

PORT_MANAGER=$((BASE + 4))
PORT_AGENT=$((BASE + 5))
PORT_AGENT_SOCK=$((BASE + 6))
PORT_AGENT_META=$((BASE + 7))
PORT_STORAGE_CLIENT=$((BASE + 8))
PORT_STORAGE_MANAGER=$((BASE + 9))
PORT_WSPROXY=$((BASE + 10))
PORT_WEBSERVER=$((BASE + 14))
PORT_MON_MANAGER=$((BASE + 20)) # +pidx
PORT_MON_AGENT=$((BASE + 30))
PORT_MON_WSPROXY=$((BASE + 36)) # +pidx
PORT_MON_STORAGE=$((BASE + 40))
PORT_APPS=$((BASE + 50)) # ..+59, one per started app

ADMIN_AK=AKIAREALSTACKADMIN00
ADMIN_SK=realstack-admin-secret-key-0000000000000
USER_AK=AKIAREALSTACKUSER000
USER_SK=realstack-user-secret-key-00000000000000
STORAGE_SECRET=realstack-manager-to-storage
WSPROXY_SECRET=realstack-manager-to-wsproxy
IMAGE=cr.standin.local/stable/python:3.9-ubuntu20.04

# The manager makes a Docker client object at start and dies without an address
# for it.  Nothing listens there, and no call made here needs it.
COMPONENT_ENV+=("DOCKER_HOST=tcp://127.0.0.1:1")

release_install() {
    # install unlinks first: the file may be a hard link into uv's cache
    install -m 644 "$HERE/releases/25.15/standin_backend.py" "$SITE/ai/backend/agent/dummy/__init__.py"
    install -m 644 "$HERE/standin_app.py" "$SITE/ai/backend/agent/dummy/"
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
rpc-auth-manager-keypair = "$CONF/manager.key_secret"
ipc-base-path = "$REALSTACK_DIR/ipc"
event-loop = "${REALSTACK_EVENT_LOOP:-asyncio}"
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
        toml_logging manager
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
        toml_logging agent
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
core-indexes = [0, 1, 2, 3, 4, 5, 6, 7]
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
ssl-enabled = false
secret = "$STORAGE_SECRET"
[volume.volume1]
backend = "vfs"
path = "$DATA/vfroot/volume1"
[debug]
enabled = false
log-events = true
EOT
        toml_logging storage
    } >"$CONF/storage-proxy.toml"

    {
        cat <<EOT
[service]
ip = "127.0.0.1"
port = $PORT_WEBSERVER
mode = "webui"
wsproxy.url = ""
[resources]
[environments]
[plugin]
[ui]
brand = "realstack"
[license]
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
        toml_logging webserver
    } >"$CONF/webserver.toml"

    {
        cat <<EOT
[wsproxy]
id = "i-realstack-wsproxy"
event_loop = "${REALSTACK_EVENT_LOOP:-uvloop}"
ipc_base_path = "$REALSTACK_DIR/ipc"
bind_host = "127.0.0.1"
advertised_host = "127.0.0.1"
bind_api_port = $PORT_WSPROXY
advertised_api_port = $PORT_WSPROXY
bind_proxy_port_range = [$PORT_APPS, $((PORT_APPS + 9))]
protocol = "http"
jwt_encrypt_key = "realstack-wsproxy-jwt-secret-00000000000"
permit_hash_key = "realstack-wsproxy-permit"
api_secret = "$WSPROXY_SECRET"
aiomonitor_termui_port = $PORT_MON_WSPROXY
aiomonitor_webui_port = $((PORT_MON_WSPROXY + 2))
[debug]
enabled = false
log_events = true
EOT
        toml_logging wsproxy
        # Still in [logging.file]: it knows that by another name, and stumbles over its own default.
        echo 'rotation_size = "100M"'
    } >"$CONF/wsproxy.toml"
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
    jq -n --arg redis "127.0.0.1:$PORT_REDIS" \
        --arg c "http://127.0.0.1:$PORT_STORAGE_CLIENT" --arg m "http://127.0.0.1:$PORT_STORAGE_MANAGER" --arg s "$STORAGE_SECRET" '{
        config: {
            redis: {addr: $redis},
            docker: {registry: {"cr.standin.local": {"": "http://cr.standin.local", type: "harbor2", project: "stable"}}},
            api: {"allow-graphql-schema-introspection": "yes"}
        },
        volumes: {
            _types: {user: "", group: ""},
            default_host: "local:volume1",
            exposed_volume_info: "percentage",
            proxies: {local: {client_api: $c, manager_api: $m, secret: $s, ssl_verify: "false"}}
        }}' >"$CONF/etcd.json"
    jq -n --arg aak "$ADMIN_AK" --arg ask "$ADMIN_SK" --arg uak "$USER_AK" --arg usk "$USER_SK" \
        --arg ws "http://127.0.0.1:$PORT_WSPROXY" --arg wst "$WSPROXY_SECRET" '
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
        user_resource_policies: [{name: "default", max_vfolder_count: 1000, max_quota_scope_size: -1,
                   max_session_count_per_model_session: 10, max_customized_image_count: 3}],
        project_resource_policies: [{name: "default", max_vfolder_count: 1000, max_quota_scope_size: -1}],
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

    sql -d template1 -c 'drop database if exists backend' -c 'create database backend'
    mgr etcd put-json "" "$CONF/etcd.json" >"$LOG/seed-etcd.log" 2>&1 &
    local etcd_job=$!
    mgr schema oneshot -f "$CONF/alembic.ini" >"$LOG/seed-schema.log" 2>&1 || die "schema, see $LOG/seed-schema.log"
    wait "$etcd_job" || die "etcd entries, see $LOG/seed-etcd.log"
    mgr fixture populate "$CONF/fixtures.json" >"$LOG/seed-fixtures.log" 2>&1 || die "fixtures, see $LOG/seed-fixtures.log"
    [ "$(sql -d backend -c 'select count(*) from keypairs')" = 2 ] || die "fixtures, see $LOG/seed-fixtures.log"
    sql -d backend >/dev/null <<EOT
update users set main_access_key = '$ADMIN_AK' where username = 'admin';
update users set main_access_key = '$USER_AK' where username = 'user';
insert into images (name, image, tag, registry, architecture, config_digest, size_bytes, type, labels, resources)
values ('$IMAGE', 'stable/python', '3.9-ubuntu20.04', 'cr.standin.local', '$(uname -m)', 'sha256:$(printf '%064d' 0)', 1, 'COMPUTE',
        '{"ai.backend.role": "COMPUTE", "ai.backend.kernelspec": "1", "ai.backend.runtime-type": "python",
          "ai.backend.runtime-path": "/usr/bin/python", "ai.backend.base-distro": "ubuntu20.04",
          "ai.backend.features": "batch query user-input", "ai.backend.service-ports": "jupyter:http:8081",
          "ai.backend.resource.min.cpu": "1", "ai.backend.resource.min.mem": "64m"}',
        '{"cpu": {"min": "1", "max": null}, "mem": {"min": "64m", "max": null}}');
EOT
}

agent_ready() { [ "$(sql -d backend -c "select status from agents where id = 'i-realstack-agent'")" = ALIVE ]; }

release_start() {
    server storage storage ai.backend.storage.server -f "$CONF/storage-proxy.toml"
    server manager mgr ai.backend.manager.server -f "$CONF/manager.toml"
    server agent ag ai.backend.agent.server -f "$CONF/agent.toml"
    server wsproxy wsproxy ai.backend.wsproxy.server -f "$CONF/wsproxy.toml"
    server webserver web ai.backend.web.server -f "$CONF/webserver.toml"

    wait_for 90 "storage-proxy" storage curl -sS -m 2 -o /dev/null "http://127.0.0.1:$PORT_STORAGE_MANAGER/"
    say "storage-proxy answers"
    wait_for 120 "manager API" manager http_ok "http://127.0.0.1:$PORT_MANAGER/"
    say "manager answers"
    wait_for 90 "webserver" webserver http_ok "http://127.0.0.1:$PORT_WEBSERVER/config.toml"
    wait_for 90 "wsproxy" wsproxy http_ok "http://127.0.0.1:$PORT_WSPROXY/status"
    say "webserver and wsproxy answer"
    wait_for 90 "agent registration" agent agent_ready
    say "agent is ALIVE"
}

release_probes() {
    cat <<EOT
storage $PORT_STORAGE_MANAGER /status
wsproxy $PORT_WSPROXY /status
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
