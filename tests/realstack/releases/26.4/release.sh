# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

# Backend.AI 26.4: the components, ports and settings of 26.9 under an older
# schema.  Sourced by lib.sh, and by 26.8.
. "$HERE/releases/26.9/release.sh"

RELEASE_NEWEST=26.4.16
AGENT_GROUP_KEY=scaling-group

# With [otel] on and without the plugin, this manager answers 500 to every request
# (README.md): so that the stack can be looked at in that state, any answer counts.
if [ "$FAMILY" = 26.4 ] && [ -n "${REALSTACK_OTEL-}" ] && [ -z "${LAUNCH_PREFIX_MANAGER-${LAUNCH_PREFIX-}}" ]; then
    http_ok() { curl -sS -m 2 -o /dev/null "$@"; }
fi

release_seed() {
    seed_files
    # alembic itself insists on logging sections
    cat >>"$CONF/alembic-appproxy.ini" <<'EOT'
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
    sql -d template1 \
        -c 'drop database if exists backend' -c 'create database backend' \
        -c 'drop database if exists appproxy' -c 'create database appproxy'
    # each of these commands spends seconds on imports: side by side
    local job jobs=()
    mgr schema oneshot -f "$CONF/alembic.ini" >"$LOG/seed-schema.log" 2>&1 &
    jobs+=("$!")
    # not by the coordinator's own `schema oneshot`: it fails at its own signature
    (cd "$CONF" && "$VENV/bin/alembic" -c alembic-appproxy.ini upgrade head) >"$LOG/seed-appproxy.log" 2>&1 &
    jobs+=("$!")
    mgr etcd put-json "" "$CONF/etcd.json" >"$LOG/seed-etcd.log" 2>&1 &
    jobs+=("$!")
    for job in "${jobs[@]}"; do wait "$job" || die "schema or etcd entries, see $LOG/seed-*.log"; done

    fixtures >"$CONF/fixtures.json"
    mgr fixture populate "$CONF/fixtures.json" >"$LOG/seed-fixtures.log" 2>&1 || die "fixtures, see $LOG/seed-fixtures.log"
    [ "$(sql -d backend -c 'select count(*) from keypairs')" = 2 ] || die "fixtures, see $LOG/seed-fixtures.log"
    roles
    runtime_variants
}

fixtures() {
    jq -n --arg aak "$ADMIN_AK" --arg ask "$ADMIN_SK" --arg uak "$USER_AK" --arg usk "$USER_SK" \
        --arg proxy "http://127.0.0.1:$PORT_PROXY_COORDINATOR" --arg token "$PROXY_SECRET" \
        --arg image "$IMAGE" --arg arch "$(uname -m)" '
        {"local:volume1": ["create-vfolder", "modify-vfolder", "delete-vfolder", "mount-in-session",
                           "upload-file", "download-file", "invite-others", "set-user-specific-permission"]} as $hosts
        | "5f4e0000-0000-4000-8000-0000000000a1" as $admin
        | "5f4e0000-0000-4000-8000-0000000000b1" as $user
        | "5f4e0000-0000-4000-8000-0000000000c1" as $project
        | "5f4e0000-0000-4000-8000-0000000000f1" as $registry
        | {status: "active", status_info: "fixture", need_password_change: false, sudo_session_enabled: false,
           domain_name: "default", resource_policy: "default", main_access_key: null} as $person
        | {is_active: true, resource_policy: "default", rate_limit: 30000, num_queries: 0} as $key
        | {required: true, number_format: {binary: false, round_length: 0}} as $slot
        | {
        container_registries: [{id: $registry, registry_name: "cr.standin.local", url: "http://cr.standin.local",
                   type: "harbor2", project: "stable", is_global: true}],
        resource_slot_types: [
            $slot + {slot_name: "cpu", slot_type: "count", display_name: "CPU", display_unit: "Core", display_icon: "cpu", rank: 100},
            $slot + {slot_name: "mem", slot_type: "bytes", display_name: "RAM", display_unit: "GiB", display_icon: "ram", rank: 200}],
        login_client_types: [{name: "core", description: "SDK"}, {name: "webui", description: "Web"}],
        domains: [{name: "default", description: "realstack", is_active: true, total_resource_slots: {},
                   allowed_vfolder_hosts: $hosts, allowed_docker_registries: ["cr.standin.local"]}],
        user_resource_policies: [{name: "default", max_vfolder_count: 0, max_quota_scope_size: -1,
                   max_session_count_per_model_session: 10, max_customized_image_count: 3}],
        project_resource_policies: [{name: "default", max_vfolder_count: 0, max_quota_scope_size: -1, max_network_count: 3}],
        keypair_resource_policies: [{name: "default", default_for_unspecified: "UNLIMITED", total_resource_slots: {},
                   max_session_lifetime: 0, max_concurrent_sessions: 30, max_containers_per_session: 4,
                   idle_timeout: 3600, allowed_vfolder_hosts: $hosts}],
        groups: [{id: $project, name: "default", description: "realstack", is_active: true, domain_name: "default",
                  type: "general", resource_policy: "default", total_resource_slots: {}, allowed_vfolder_hosts: $hosts}],
        users: [$person + {uuid: $admin, username: "admin", email: "admin@realstack.local", password: "realstack-admin", full_name: "Admin", description: "", role: "superadmin"},
                $person + {uuid: $user, username: "user", email: "user@realstack.local", password: "realstack-user", full_name: "User", description: "", role: "user"}],
        scaling_groups: [{name: "default", description: "realstack", is_active: true, driver: "static",
                  driver_opts: {}, scheduler: "fifo", scheduler_opts: {}, wsproxy_addr: $proxy, wsproxy_api_token: $token}],
        sgroups_for_domains: [{scaling_group: "default", domain: "default"}],
        association_groups_users: [{group_id: $project, user_id: $admin}, {group_id: $project, user_id: $user}],
        keypairs: [$key + {user_id: "admin@realstack.local", access_key: $aak, secret_key: $ask, is_admin: true, user: $admin},
                   $key + {user_id: "user@realstack.local", access_key: $uak, secret_key: $usk, is_admin: false, user: $user}],
        resource_presets: [{name: "small", resource_slots: {cpu: "1", mem: "1073741824"}}],
        images: [{name: $image, project: "stable", image: "python", tag: "3.9-ubuntu20.04", registry: "cr.standin.local", registry_id: $registry,
                  architecture: $arch, config_digest: ("sha256:" + "0" * 64), size_bytes: 1, is_local: false, type: "COMPUTE", status: "ALIVE",
                  accelerators: "*",
                  labels: {"ai.backend.role": "COMPUTE", "ai.backend.kernelspec": "1", "ai.backend.runtime-type": "python",
                           "ai.backend.runtime-path": "/usr/bin/python", "ai.backend.base-distro": "ubuntu20.04",
                           "ai.backend.features": "batch query user-input", "ai.backend.service-ports": "jupyter:http:8081",
                           "ai.backend.resource.min.cpu": "1", "ai.backend.resource.min.mem": "64m"},
                  resources: {cpu: {min: "1", max: null}, mem: {min: "64m", max: null}}}]
        }'
}

# What a fixture does not make: who is in what (scope -> entity), and a role for
# each user that allows everything on what is his own.
roles() {
    sql -d backend >/dev/null <<EOT
update users set main_access_key = '$ADMIN_AK' where username = 'admin';
update users set main_access_key = '$USER_AK' where username = 'user';
insert into association_scopes_entities (scope_type, scope_id, entity_type, entity_id, relation_type)
    select 'domain', 'default', 'project', id::text, 'auto' from groups
    union all
    select 'domain', 'default', 'user', uuid::text, 'auto' from users
    union all
    select 'project', group_id::text, 'user', user_id::text, 'auto' from association_groups_users
    on conflict do nothing;
with made as (
    insert into roles (name, source, status) select 'user-' || uuid, 'system', 'active' from users
    returning id, substr(name, 6) owner),
given as (
    insert into user_roles (user_id, role_id) select owner::uuid, id from made),
linked as (
    insert into association_scopes_entities (scope_type, scope_id, entity_type, entity_id, relation_type)
    select 'user', owner, 'role', id::text, 'auto' from made)
insert into permissions (role_id, scope_type, scope_id, entity_type, operation, permission)
    select made.id, 'user', made.owner, entity, operation, bit
    from made, unnest(array['user', 'session', 'session:app_service', 'vfolder', 'vfolder:data', 'keypair', 'image']) entity,
        (values ('read', 1), ('update', 2), ('create', 4), ('soft-delete', 8), ('hard-delete', 16)) as op (operation, bit);
EOT
}
