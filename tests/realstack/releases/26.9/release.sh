# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

# Backend.AI 26.9: manager, agent (its own container-less "dummy" backend),
# storage-proxy, app-proxy coordinator and worker, web server.  Sourced by lib.sh,
# and by 26.8 and 26.4, which replace what was different in them.

RELEASE_NEWEST=26.9.6
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
# the internal APIs: health, metrics, hooks
PORT_MANAGER_INTERNAL=$((BASE + 15))
PORT_AGENT_INTERNAL=$((BASE + 16))
PORT_STORAGE_INTERNAL=$((BASE + 17))
PORT_MON_MANAGER=$((BASE + 20)) # +pidx; the web half is 5 above
PORT_MON_COORDINATOR=$((BASE + 23))
PORT_MON_AGENT=$((BASE + 30))
PORT_MON_WORKER=$((BASE + 33))
PORT_MON_STORAGE=$((BASE + 40))
PORT_CIRCUIT_FIRST=$((BASE + 50))
PORT_CIRCUIT_LAST=$((BASE + 59))

ADMIN_AK=AKIAREALSTACKADMIN00
ADMIN_SK=realstack-admin-secret-key-0000000000000
USER_AK=AKIAREALSTACKUSER000
USER_SK=realstack-user-secret-key-00000000000000
STORAGE_SECRET=realstack-manager-to-storage
PROXY_SECRET=realstack-app-proxy-api
PROXY_JWT_SECRET=realstack-app-proxy-jwt-secret-0000000000
PROXY_PERMIT_SECRET=realstack-app-proxy-permit
IMAGE=cr.standin.local/stable/python:3.9-ubuntu20.04
AGENT_GROUP_KEY=initial-resource-group-name

# The manager makes a Docker client object at start and dies without an address
# for it.  Nothing listens there, and no call made here needs it.
COMPONENT_ENV+=("DOCKER_HOST=tcp://127.0.0.1:1")

release_install() {
    local dummy=$SITE/ai/backend/agent/dummy line="from .standin import StandInAgent as DummyAgent  # realstack"
    cp "$HERE/releases/26.9/standin.py" "$HERE/standin_app.py" "$dummy/"
    # sed -i writes a new file: the old one may be a hard link into uv's cache
    grep -qF "$line" "$dummy/__init__.py" || sed -i "\$ a $line" "$dummy/__init__.py"
}

otel_section() {
    [ -n "${REALSTACK_OTEL-}" ] || return 0
    printf '[otel]\nenabled = true\nlog-level = "INFO"\nendpoint = "http://127.0.0.1:%s"\n' "$PORT_OTLP_GRPC"
}

release_config() {
    local loop="event-loop = \"${REALSTACK_EVENT_LOOP:-uvloop}\""
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
internal-addr = { host = "127.0.0.1", port = $PORT_MANAGER_INTERNAL }
announce-addr = { host = "127.0.0.1", port = $PORT_MANAGER }
announce-internal-addr = { host = "127.0.0.1", port = $PORT_MANAGER_INTERNAL }
rpc-auth-manager-keypair = "$CONF/manager.key_secret"
ipc-base-path = "$REALSTACK_DIR/ipc"
pid-file = "$RUN/manager.own-pid"
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
        otel_section
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
$AGENT_GROUP_KEY = "default"
rpc-listen-addr = { host = "127.0.0.1", port = $PORT_AGENT }
advertised-rpc-addr = { host = "127.0.0.1", port = $PORT_AGENT }
internal-addr = { host = "127.0.0.1", port = $PORT_AGENT_INTERNAL }
announce-internal-addr = { host = "127.0.0.1", port = $PORT_AGENT_INTERNAL }
agent-sock-port = $PORT_AGENT_SOCK
metadata-server-bind-host = "127.0.0.1"
metadata-server-port = $PORT_AGENT_META
ipc-base-path = "$REALSTACK_DIR/ipc"
var-base-path = "$DATA/agent-var"
image-commit-path = "$DATA/agent-commit"
mount-path = "$DATA/vfroot"
pid-file = "$RUN/agent.own-pid"
$loop
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
        otel_section
        toml_logging agent
    } >"$CONF/agent.toml"
    mkdir -p "$DATA/agent-var" "$DATA/agent-commit" "$DATA/agent-scratch"

    # read from the working directory of the agent
    cat >"$CONF/agent.dummy.toml" <<EOT
[agent.delay]
scan-image = 0.05
pull-image = 0.2
push-image = 0.1
purge-images = 0.1
destroy-kernel = 0.2
clean-kernel = 0.05
create-network = 0.05
destroy-network = 0.05
[agent.image]
already-have = []
need-to-pull = []
missing = []
[agent.resource.cpu]
num-core = 8
[agent.resource.memory]
size = 34359738368
[kernel-creation-ctx.delay]
prepare-scratch = 0.05
prepare-ssh = 0.05
spawn = 0.05
start-container = 0.5
mount-krunner = 0.05
[kernel]
use-fake-code-runner = true
[kernel.delay]
check-status = 0.05
get-completions = 0.05
get-logs = 0.05
interrupt-kernel = 0.05
start-service = 0.05
start-model-service = 0.05
shutdown-service = 0.05
commit = 0.2
get-service-apps = 0.05
accept-file = 0.05
download-file = 0.05
download-single = 0.05
list-files = 0.05
EOT

    mkdir -p "$DATA/vfroot/volume1"
    echo 3 >"$DATA/vfroot/volume1/version.txt"
    {
        toml_etcd
        cat <<EOT
[storage-proxy]
node-id = "i-realstack-storage"
num-proc = ${REALSTACK_STORAGE_PROCS:-1}
$loop
ipc-base-path = "$REALSTACK_DIR/ipc"
pid-file = "$RUN/storage.own-pid"
secret = "realstack-storage-private-000000000000000"
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
internal-addr = { host = "127.0.0.1", port = $PORT_STORAGE_INTERNAL }
announce-addr = { host = "127.0.0.1", port = $PORT_STORAGE_MANAGER }
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
        otel_section
        toml_logging storage
    } >"$CONF/storage-proxy.toml"

    proxy_secrets() {
        cat <<EOT
[secrets]
api_secret = "$PROXY_SECRET"
jwt_secret = "$PROXY_JWT_SECRET"
[permit_hash]
secret = "$PROXY_PERMIT_SECRET"
[debug]
enabled = false
log_events = true
[redis]
addr = { host = "127.0.0.1", port = $PORT_REDIS }
EOT
    }
    {
        cat <<EOT
[db]
type = "postgresql"
name = "appproxy"
user = "postgres"
password = "unused"
pool_size = 8
max_overflow = 64
addr = { host = "127.0.0.1", port = $PORT_PG }
[proxy_coordinator]
id = "i-realstack-coordinator"
ipc_base_path = "$REALSTACK_DIR/ipc"
pid_file = "$RUN/coordinator.own-pid"
event_loop = "${REALSTACK_EVENT_LOOP:-uvloop}"
tls_listen = false
tls_advertised = false
aiomonitor_termui_port = $PORT_MON_COORDINATOR
aiomonitor_webui_port = $((PORT_MON_COORDINATOR + 5))
allow_unauthorized_configure_request = true
# a circuit keeps its port after its session; there are only ten
unused_circuit_collection_timeout = 30
bind_addr = { host = "127.0.0.1", port = $PORT_PROXY_COORDINATOR }
announce_addr = { host = "127.0.0.1", port = $PORT_PROXY_COORDINATOR }
advertised_addr = { host = "127.0.0.1", port = $PORT_PROXY_COORDINATOR }
EOT
        proxy_secrets
        otel_section
        toml_logging proxy-coordinator
    } >"$CONF/proxy-coordinator.toml"
    {
        cat <<EOT
[proxy_worker]
id = "i-realstack-worker"
ipc_base_path = "$REALSTACK_DIR/ipc"
pid_file = "$RUN/worker.own-pid"
event_loop = "${REALSTACK_EVENT_LOOP:-uvloop}"
coordinator_endpoint = "http://127.0.0.1:$PORT_PROXY_COORDINATOR"
authority = "worker-1"
tls_listen = false
tls_advertised = false
aiomonitor_termui_port = $PORT_MON_WORKER
aiomonitor_webui_port = $((PORT_MON_WORKER + 5))
frontend_mode = "port"
protocol = "http"
accepted_traffics = ["inference", "interactive"]
api_bind_addr = { host = "127.0.0.1", port = $PORT_PROXY_WORKER }
api_advertised_addr = { host = "127.0.0.1", port = $PORT_PROXY_WORKER }
announce_addr = { host = "127.0.0.1", port = $PORT_PROXY_WORKER }
[proxy_worker.port_proxy]
bind_host = "127.0.0.1"
advertised_host = "127.0.0.1"
bind_port_range = [$PORT_CIRCUIT_FIRST, $PORT_CIRCUIT_LAST]
EOT
        proxy_secrets
        otel_section
        toml_logging proxy-worker
    } >"$CONF/proxy-worker.toml"

    mkdir -p "$DATA/web-static"
    [ -f "$DATA/web-static/index.html" ] || echo '<!doctype html><title>realstack</title>' >"$DATA/web-static/index.html"
    {
        cat <<EOT
[service]
ip = "127.0.0.1"
port = $PORT_WEBSERVER
mode = "webui"
static_path = "$DATA/web-static"
[security]
cookie_secure = false
[api]
domain = "default"
endpoint = "http://127.0.0.1:$PORT_MANAGER"
text = "realstack"
ssl_verify = false
[session]
max_age = 604800
[session.redis]
addr = "127.0.0.1:$PORT_REDIS"
[webserver]
event-loop = "${REALSTACK_EVENT_LOOP:-uvloop}"
ipc-base-path = "$REALSTACK_DIR/ipc"
pid-file = "$RUN/webserver.own-pid"
[etcd]
namespace = "realstack"
addr = { host = "127.0.0.1", port = $PORT_ETCD }
[debug]
enabled = false
EOT
        otel_section
        toml_logging webserver
    } >"$CONF/webserver.conf"
}

mgr() { (cd "$CONF" && "$VENV/bin/backend.ai" mgr -f "$CONF/manager.toml" "$@"); }

seed_files() {
    cat >"$CONF/alembic.ini" <<EOT
[alembic]
script_location = ai.backend.manager.models:alembic
sqlalchemy.url = postgresql+asyncpg://postgres:unused@127.0.0.1:$PORT_PG/backend
EOT
    cat >"$CONF/alembic-appproxy.ini" <<EOT
[alembic]
script_location = ai.backend.appproxy.coordinator.models:alembic
sqlalchemy.url = postgresql+asyncpg://postgres:unused@127.0.0.1:$PORT_PG/appproxy
EOT
    jq -n --arg redis "127.0.0.1:$PORT_REDIS" \
        --arg c "http://127.0.0.1:$PORT_STORAGE_CLIENT" --arg m "http://127.0.0.1:$PORT_STORAGE_MANAGER" --arg s "$STORAGE_SECRET" '{
        config: {
            redis: {addr: $redis},
            api: {"allow-graphql-schema-introspection": "yes"}
        },
        volumes: {
            _types: {user: "", group: ""},
            default_host: "local:volume1",
            exposed_volume_info: "percentage",
            proxies: {local: {client_api: $c, manager_api: $m, secret: $s, ssl_verify: "false"}}
        }}' >"$CONF/etcd.json"
}

release_seed() {
    seed_files
    sql -d template1 \
        -c 'drop database if exists backend' -c 'create database backend' \
        -c 'drop database if exists appproxy' -c 'create database appproxy'
    # each of these commands spends seconds on imports: side by side
    local job jobs=()
    mgr schema oneshot -f "$CONF/alembic.ini" >"$LOG/seed-schema.log" 2>&1 &
    jobs+=("$!")
    (cd "$CONF" && "$VENV/bin/backend.ai" app-proxy-coordinator -f "$CONF/proxy-coordinator.toml" \
        schema oneshot -f "$CONF/alembic-appproxy.ini") >"$LOG/seed-appproxy.log" 2>&1 &
    jobs+=("$!")
    mgr etcd put-json "" "$CONF/etcd.json" >"$LOG/seed-etcd.log" 2>&1 &
    jobs+=("$!")
    # the presets from which `permissions provision` makes the roles
    mkdir -p "$CONF/roles/fixtures/manager"
    mgr permissions emit --repository "$CONF/roles" >"$LOG/seed-roles.log" 2>&1 &
    jobs+=("$!")
    for job in "${jobs[@]}"; do wait "$job" || die "schema, etcd entries or roles, see $LOG/seed-*.log"; done

    fixtures >"$CONF/fixtures.json"
    mgr fixture populate "$CONF/fixtures.json" >"$LOG/seed-fixtures.log" 2>&1 || die "fixtures, see $LOG/seed-fixtures.log"
    memberships
    runtime_variants
    mgr permissions provision >>"$LOG/seed-roles.log" 2>&1 || die "roles, see $LOG/seed-roles.log"
}

fixtures() {
    jq -n --arg aak "$ADMIN_AK" --arg ask "$ADMIN_SK" --arg uak "$USER_AK" --arg usk "$USER_SK" \
        --arg proxy "http://127.0.0.1:$PORT_PROXY_COORDINATOR" --arg token "$PROXY_SECRET" \
        --arg image "$IMAGE" --arg arch "$(uname -m)" \
        --slurpfile roles "$CONF/roles/fixtures/manager/example-role-presets.json" '
        {"local:volume1": ["create-vfolder", "modify-vfolder", "delete-vfolder", "mount-in-session",
                           "upload-file", "download-file", "invite-others", "set-user-specific-permission"]} as $hosts
        | "5f4e0000-0000-4000-8000-0000000000a1" as $admin
        | "5f4e0000-0000-4000-8000-0000000000b1" as $user
        | "5f4e0000-0000-4000-8000-0000000000c1" as $project
        | "5f4e0000-0000-4000-8000-0000000000d1" as $domain
        | "5f4e0000-0000-4000-8000-0000000000e1" as $rgroup
        | "5f4e0000-0000-4000-8000-0000000000f1" as $registry
        | {status: "active", status_info: "fixture", need_password_change: false, sudo_session_enabled: false,
           domain_name: "default", domain_id: $domain, resource_policy: "default"} as $person
        | {is_active: true, is_default: true, resource_policy: "default", rate_limit: 30000, num_queries: 0} as $key
        | {description: "realstack", is_active: true, domain_name: "default", resource_policy: "default",
           total_resource_slots: {}, allowed_vfolder_hosts: $hosts} as $group
        | {required: true, number_format: {binary: false, round_length: 0}} as $slot
        | {
        container_registries: [{id: $registry, registry_name: "cr.standin.local", url: "http://cr.standin.local",
                   type: "harbor2", project: "stable", is_global: true}],
        resource_slot_types: [
            $slot + {slot_name: "cpu", slot_type: "count", display_name: "CPU", display_unit: "Core", display_icon: "cpu", rank: 100},
            $slot + {slot_name: "mem", slot_type: "bytes", display_name: "RAM", display_unit: "GiB", display_icon: "ram", rank: 200}],
        login_client_types: [{name: "core", description: "SDK"}, {name: "webui", description: "Web"}],
        domains: [{id: $domain, name: "default", description: "realstack", is_active: true, is_default: true, total_resource_slots: {},
                   allowed_vfolder_hosts: $hosts, allowed_docker_registries: ["cr.standin.local"]}],
        user_resource_policies: [{name: "default", max_vfolder_count: 0, max_quota_scope_size: -1,
                   max_session_count_per_model_session: 10, max_customized_image_count: 3}],
        project_resource_policies: [{name: "default", max_vfolder_count: 0, max_quota_scope_size: -1, max_network_count: 3}],
        keypair_resource_policies: [{name: "default", is_default: true, default_for_unspecified: "UNLIMITED", total_resource_slots: {},
                   max_session_lifetime: 0, max_concurrent_sessions: 30, max_containers_per_session: 4,
                   idle_timeout: 3600, allowed_vfolder_hosts: $hosts}],
        users: [$person + {uuid: $admin, username: "admin", email: "admin@realstack.local", password: "realstack-admin", full_name: "Admin", description: "", role: "superadmin"},
                $person + {uuid: $user, username: "user", email: "user@realstack.local", password: "realstack-user", full_name: "User", description: "", role: "user"}],
        # the folders of one person belong to a personal project
        groups: [$group + {id: $project, name: "default", type: "general"},
                 $group + {id: "5f4e0000-0000-4000-8000-0000000000a2", name: "personal-admin", type: "personal", creator_id: $admin},
                 $group + {id: "5f4e0000-0000-4000-8000-0000000000b2", name: "personal-user", type: "personal", creator_id: $user}],
        scaling_groups: [{id: $rgroup, name: "default", description: "realstack", is_active: true, is_default: true, driver: "static",
                  driver_opts: {}, scheduler: "fifo", scheduler_opts: {}, wsproxy_addr: $proxy, wsproxy_api_token: $token}],
        sgroups_for_domains: [{resource_group_id: $rgroup, domain_id: $domain}],
        association_groups_users: [{group_id: $project, user_id: $admin}, {group_id: $project, user_id: $user},
                 {group_id: "5f4e0000-0000-4000-8000-0000000000a2", user_id: $admin},
                 {group_id: "5f4e0000-0000-4000-8000-0000000000b2", user_id: $user}],
        keypairs: [$key + {access_key: $aak, secret_key: $ask, is_admin: true, user: $admin},
                   $key + {access_key: $uak, secret_key: $usk, is_admin: false, user: $user}],
        resource_presets: [{name: "small", resource_slots: {cpu: "1", mem: "1073741824"}}],
        images: [{name: $image, project: "stable", image: "python", tag: "3.9-ubuntu20.04", registry: "cr.standin.local", registry_id: $registry,
                  architecture: $arch, config_digest: ("sha256:" + "0" * 64), size_bytes: 1, is_local: false, type: "COMPUTE", status: "ALIVE",
                  accelerators: "*",
                  labels: {"ai.backend.role": "COMPUTE", "ai.backend.kernelspec": "1", "ai.backend.runtime-type": "python",
                           "ai.backend.runtime-path": "/usr/bin/python", "ai.backend.base-distro": "ubuntu20.04",
                           "ai.backend.features": "batch query user-input", "ai.backend.service-ports": "jupyter:http:8081",
                           "ai.backend.resource.min.cpu": "1", "ai.backend.resource.min.mem": "64m"},
                  resources: {cpu: {min: "1", max: null}, mem: {min: "64m", max: null}}}]
        } + $roles[0]'
}

# Who is in what is a graph beside the tables, and a fixture gives its rows a node
# but no edges: the domain owns projects and users, a project has users on its
# roster, who may read in it (permission bit 1) and get more from their roles.
memberships() {
    sql -d backend >/dev/null <<'EOT'
create temp table edge as
    select o.id owner, m.id member, false capped from virtual_entities o, virtual_entities m
    where o.entity_type = 'domain' and m.entity_type in ('project', 'user', 'resource_group')
    union all
    select o.id, m.id, true from association_groups_users a
    join virtual_entities o on o.entity_type = 'project' and o.entity_id = a.group_id
    join virtual_entities m on m.entity_type = 'user' and m.entity_id = a.user_id;
insert into scope_bindings (virtual_entity_id, scope_entity_id)
    select member, owner from edge where not capped on conflict do nothing;
with made as (
    insert into entity_memberships (virtual_entity_id, member_entity_id, capped)
    select owner, member, capped from edge on conflict do nothing returning id, capped)
insert into entity_membership_caps (membership_id, permission) select id, 1 from made where capped;
EOT
}

# What a model service is run by, the same for 26.4 and 26.8. The migrations make it; a
# schema that is made at once has none.
runtime_variants() {
    sql -d backend >/dev/null <<'EOT'
insert into runtime_variants (name, description, reads_vfolder_config_files, default_model_definition)
    values ('custom', 'Custom (Default)', true,
            '{"models": [{"name": "custom-model", "service": {"port": 8080, "health_check":
              {"enable": false, "path": "/health", "interval": 10.0, "max_retries": 10, "initial_delay": 1800.0}}}]}');
EOT
}

agent_ready() { [ "$(sql -d backend -c "select status from agents where id = 'i-realstack-agent'")" = ALIVE ]; }
worker_ready() { [ "$(sql -d appproxy -c "select status from workers where authority = 'worker-1'")" = ALIVE ]; }

release_start() {
    server proxy-coordinator app-proxy-coordinator ai.backend.appproxy.coordinator.server -f "$CONF/proxy-coordinator.toml"
    server storage storage ai.backend.storage.server -f "$CONF/storage-proxy.toml"
    server manager mgr ai.backend.manager.server -f "$CONF/manager.toml"
    server agent ag ai.backend.agent.server -f "$CONF/agent.toml"
    wait_for 90 "app-proxy coordinator" proxy-coordinator http_ok "http://127.0.0.1:$PORT_PROXY_COORDINATOR/status"
    # the worker gives up when it cannot register at the coordinator
    server proxy-worker app-proxy-worker ai.backend.appproxy.worker.server -f "$CONF/proxy-worker.toml"

    wait_for 90 "storage-proxy" storage curl -sS -m 2 -o /dev/null "http://127.0.0.1:$PORT_STORAGE_MANAGER/"
    wait_for 120 "manager API" manager http_ok "http://127.0.0.1:$PORT_MANAGER/"
    say "storage-proxy and manager answer"
    # not before: it looks for the manager every half minute, and is an error until then
    server webserver web ai.backend.web.server -f "$CONF/webserver.conf"
    wait_for 90 "web server" webserver http_ok "http://127.0.0.1:$PORT_WEBSERVER/func/"
    wait_for 90 "agent registration" agent agent_ready
    wait_for 90 "app-proxy worker registration" proxy-worker worker_ready
    say "agent and app-proxy worker are ALIVE, web server answers"
}

release_probes() {
    cat <<EOT
manager $PORT_MANAGER /health /health/livez /health/readyz
manager $PORT_MANAGER_INTERNAL /health/livez /health/readyz /metrics /metrics/service_discovery
agent $PORT_AGENT_INTERNAL /health /livez /readyz /metrics
storage $PORT_STORAGE_MANAGER /health /livez /readyz /status
storage $PORT_STORAGE_INTERNAL /health /livez /readyz /metrics
proxy-coordinator $PORT_PROXY_COORDINATOR /health /health/livez /health/readyz /status /metrics
proxy-worker $PORT_PROXY_WORKER /livez /readyz /health/livez /health/readyz /status /metrics
webserver $PORT_WEBSERVER /health /livez /readyz
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
