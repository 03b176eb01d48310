# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

# Backend.AI 23.9: manager, agent (with a backend of our own below it), storage-proxy;
# the app proxy is a stand-in.  Sourced by lib.sh.

RELEASE_NEWEST=23.9.10
RELEASE_PYTHON=3.11
COMPONENTS="agent manager storage wsproxy"

PORT_MANAGER=$((BASE + 4))
PORT_AGENT=$((BASE + 5))
PORT_AGENT_SOCK=$((BASE + 6))
PORT_AGENT_META=$((BASE + 7))
PORT_STORAGE_CLIENT=$((BASE + 8))
PORT_STORAGE_MANAGER=$((BASE + 9))
PORT_WSPROXY=$((BASE + 10))
PORT_MON_MANAGER=$((BASE + 20)) # +pidx
PORT_MON_AGENT=$((BASE + 30))
PORT_MON_STORAGE=$((BASE + 40))

ADMIN_AK=AKIAREALSTACKADMIN00
ADMIN_SK=realstack-admin-secret-key-0000000000000
USER_AK=AKIAREALSTACKUSER000
USER_SK=realstack-user-secret-key-00000000000000
STORAGE_SECRET=realstack-manager-to-storage
IMAGE=cr.standin.local/stable/python:3.9-ubuntu20.04

# A stand-in is no component of Backend.AI: no prefix of all components is meant for it.
: "${LAUNCH_PREFIX_WSPROXY=}"

# The manager makes a Docker client object at start and dies without an address
# for it.  Nothing listens there, and no call made here needs it.
COMPONENT_ENV+=("DOCKER_HOST=tcp://127.0.0.1:1")

release_install() {
    # The wheel accepts backend = "dummy" without shipping it; ours goes there.
    mkdir -p "$SITE/ai/backend/agent/dummy"
    install -m 644 "$FAMILY_DIR"/standin_agent/*.py "$HERE/standin_app.py" "$SITE/ai/backend/agent/dummy/"
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
[standin]
cpu-cores = 8
mem-bytes = 34359738368
always-pull = ${REALSTACK_ALWAYS_PULL:-false}
[debug]
enabled = false
log-events = true
EOT
        toml_logging agent
    } >"$CONF/agent.toml"

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
}

mgr() { (cd "$CONF" && "$VENV/bin/backend.ai" mgr -f "$CONF/manager.toml" "$@"); }

release_seed() {
    cat >"$CONF/alembic.ini" <<EOT
[alembic]
script_location = ai.backend.manager.models:alembic
sqlalchemy.url = postgresql+asyncpg://postgres:unused@127.0.0.1:$PORT_PG/backend
EOT
    jq -n --arg redis "127.0.0.1:$PORT_REDIS" '{
        redis: {addr: $redis},
        docker: {registry: {"cr.standin.local": {"": "http://cr.standin.local", type: "harbor2", project: "stable"}}},
        api: {"allow-graphql-schema-introspection": "yes"}
    }' >"$CONF/etcd-config.json"
    jq -n --arg c "http://127.0.0.1:$PORT_STORAGE_CLIENT" --arg m "http://127.0.0.1:$PORT_STORAGE_MANAGER" --arg s "$STORAGE_SECRET" '{
        _types: {user: "", group: ""},
        default_host: "local:volume1",
        exposed_volume_info: "percentage",
        proxies: {local: {client_api: $c, manager_api: $m, secret: $s, ssl_verify: "false"}}
    }' >"$CONF/etcd-volumes.json"
    jq -n --arg aak "$ADMIN_AK" --arg ask "$ADMIN_SK" --arg uak "$USER_AK" --arg usk "$USER_SK" --arg ws "http://127.0.0.1:$PORT_WSPROXY" '
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
        user_resource_policies: [{name: "default", max_vfolder_size: -1, max_session_count_per_model_session: 10}],
        project_resource_policies: [{name: "default", max_vfolder_size: -1}],
        keypair_resource_policies: [{name: "default", default_for_unspecified: "UNLIMITED", total_resource_slots: {},
                   max_session_lifetime: 0, max_concurrent_sessions: 30, max_containers_per_session: 4,
                   max_vfolder_count: 1000, max_vfolder_size: 0, idle_timeout: 3600, allowed_vfolder_hosts: $hosts}],
        groups: [{id: $project, name: "default", description: "realstack", is_active: true, domain_name: "default",
                  resource_policy: "default", total_resource_slots: {}, allowed_vfolder_hosts: $hosts}],
        scaling_groups: [{name: "default", description: "realstack", is_active: true, driver: "static",
                  driver_opts: {}, scheduler: "fifo", scheduler_opts: {allowed_session_types: ["interactive", "batch", "inference"]}, wsproxy_addr: $ws, wsproxy_api_token: "realstack"}],
        sgroups_for_domains: [{scaling_group: "default", domain: "default"}],
        users: [$person + {uuid: $admin, username: "admin", email: "admin@realstack.local", password: "realstack-admin", full_name: "Admin", description: "", role: "superadmin"},
                $person + {uuid: $user, username: "user", email: "user@realstack.local", password: "realstack-user", full_name: "User", description: "", role: "user"}],
        association_groups_users: [{group_id: $project, user_id: $admin}, {group_id: $project, user_id: $user}],
        keypairs: [$key + {user_id: "admin@realstack.local", access_key: $aak, secret_key: $ask, is_admin: true, user: $admin},
                   $key + {user_id: "user@realstack.local", access_key: $uak, secret_key: $usk, is_admin: false, user: $user}],
        resource_presets: [{name: "small", resource_slots: {cpu: "1", mem: "1073741824"}}]
        }' >"$CONF/fixtures.json"

    mgr etcd put-json config "$CONF/etcd-config.json" >"$LOG/seed-etcd.log" 2>&1 &
    local etcd_job
    etcd_job=$!
    sql -d template1 -c 'drop database if exists backend' -c 'create database backend'
    mgr schema oneshot -f "$CONF/alembic.ini" >"$LOG/seed-schema.log" 2>&1 || die "schema, see $LOG/seed-schema.log"
    wait "$etcd_job" || die "etcd entries, see $LOG/seed-etcd.log"
    mgr etcd put-json volumes "$CONF/etcd-volumes.json" >>"$LOG/seed-etcd.log" 2>&1 &
    etcd_job=$!
    # populate logs a failure and still exits 0, hence the count below
    mgr fixture populate "$CONF/fixtures.json" >"$LOG/seed-fixtures.log" 2>&1 || die "fixtures, see $LOG/seed-fixtures.log"
    wait "$etcd_job" || die "etcd entries, see $LOG/seed-etcd.log"
    [ "$(sql -d backend -c 'select count(*) from keypairs')" = 2 ] || die "fixtures, see $LOG/seed-fixtures.log"
    sql -d backend >/dev/null <<EOT
update users set main_access_key = '$ADMIN_AK' where username = 'admin';
update users set main_access_key = '$USER_AK' where username = 'user';
insert into images (name, image, tag, registry, architecture, config_digest, size_bytes, type, labels, resources)
values ('$IMAGE', 'stable/python', '3.9-ubuntu20.04', 'cr.standin.local', '$(uname -m)',
        'sha256:$(printf '%064d' 0)', 1, 'COMPUTE',
        '{"ai.backend.role": "COMPUTE", "ai.backend.kernelspec": "1", "ai.backend.runtime-type": "python",
          "ai.backend.runtime-path": "/usr/bin/python", "ai.backend.base-distro": "ubuntu20.04",
          "ai.backend.features": "batch query user-input", "ai.backend.service-ports": "jupyter:http:8081",
          "ai.backend.resource.min.cpu": "1", "ai.backend.resource.min.mem": "64m"}',
        '{"cpu": {"min": "1", "max": null}, "mem": {"min": "64m", "max": null}}');
EOT
}

agent_ready() {
    grep -q 'started handling RPC requests' "$LOG/agent.log" &&
        [ "$(sql -d backend -c "select status from agents where id = 'i-realstack-agent'")" = ALIVE ]
}

release_start() {
    # No component of Backend.AI: the plugin would leave its set-up to OpenTelemetry's own, for which nothing exports here.
    LAUNCH_PREFIX_WSPROXY='' component wsproxy env -u OTEL_BACKENDAI_ACTIVATE python "$FAMILY_DIR/standin_wsproxy.py" "$PORT_WSPROXY"
    server storage storage ai.backend.storage.server -f "$CONF/storage-proxy.toml"
    server manager mgr ai.backend.manager.server -f "$CONF/manager.toml"
    server agent ag ai.backend.agent.server -f "$CONF/agent.toml"

    wait_for 60 "storage-proxy" storage curl -sS -m 2 -o /dev/null "http://127.0.0.1:$PORT_STORAGE_MANAGER/"
    say "storage-proxy answers"
    wait_for 90 "manager API" manager http_ok "http://127.0.0.1:$PORT_MANAGER/"
    say "manager answers"
    wait_for 90 "agent registration" agent agent_ready
    say "agent is ALIVE"
}

release_probes() {
    echo "storage $PORT_STORAGE_MANAGER /status"
}

release_client_env() {
    cat <<EOT
export BACKEND_ENDPOINT=http://127.0.0.1:$PORT_MANAGER
export BACKEND_ENDPOINT_TYPE=api
export BACKEND_ACCESS_KEY=$ADMIN_AK
export BACKEND_SECRET_KEY=$ADMIN_SK
export REALSTACK_IMAGE=$IMAGE
EOT
}
