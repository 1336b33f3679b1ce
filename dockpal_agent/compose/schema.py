"""The Compose file as a table: attribute by attribute, what its value may look like.

Source: the Compose Specification's schema (compose-spec.json) of compose-go 2.9. An attribute is one row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from dockpal_agent.compose.errors import Findings
from dockpal_agent.compose.shapes import Items, Keys, Kinds, Object, OneOf, Shape, named, text
from dockpal_agent.compose.tree import Value, path_text

__all__ = ["FILE", "SERVICE", "validate"]

TEXT: Final = text()
TEXTS: Final = Items(TEXT)
UNIQUE_TEXTS: Final = Items(TEXT, unique=True)
SWITCH: Final = Kinds(("boolean", "string"))
NUMBER: Final = Kinds(("number", "string"))
WHOLE: Final = Kinds(("integer", "string"))
TEXT_OR_LIST: Final = OneOf((TEXT, UNIQUE_TEXTS))
COMMAND: Final = OneOf((Kinds(("null",)), TEXT, TEXTS))
LIST_OR_MAP: Final = OneOf((Keys(Kinds(("string", "number", "boolean", "null"))), UNIQUE_TEXTS))
EXTRA_HOSTS: Final = OneOf((Keys(OneOf((TEXT, TEXTS))), UNIQUE_TEXTS))
DRIVER_OPTIONS: Final = Keys(NUMBER, closed=False)

EXTERNAL: Final = Object({"name": TEXT}, also=("boolean", "string"))

ULIMITS: Final = Keys(
    OneOf((WHOLE, Object({"hard": WHOLE, "soft": WHOLE}, required=("soft", "hard")))),
    re.compile(r"[a-z]+"),
    closed=False,
)
FILE_REFERENCES: Final = Items(
    OneOf((TEXT, Object({"source": TEXT, "target": TEXT, "uid": TEXT, "gid": TEXT, "mode": NUMBER})))
)
HOOK: Final = Object(
    {"command": COMMAND, "user": TEXT, "privileged": SWITCH, "working_dir": TEXT, "environment": LIST_OR_MAP},
    required=("command",),
)
HOOKS: Final = Items(HOOK)

BUILD: Final = OneOf(
    (
        TEXT,
        Object(
            {
                "context": TEXT,
                "dockerfile": TEXT,
                "dockerfile_inline": TEXT,
                "entitlements": TEXTS,
                "args": LIST_OR_MAP,
                "ssh": LIST_OR_MAP,
                "labels": LIST_OR_MAP,
                "cache_from": TEXTS,
                "cache_to": TEXTS,
                "no_cache": SWITCH,
                "additional_contexts": LIST_OR_MAP,
                "network": TEXT,
                "provenance": SWITCH,
                "sbom": SWITCH,
                "pull": SWITCH,
                "target": TEXT,
                "shm_size": WHOLE,
                "extra_hosts": EXTRA_HOSTS,
                "isolation": TEXT,
                "privileged": SWITCH,
                "secrets": FILE_REFERENCES,
                "tags": TEXTS,
                "ulimits": ULIMITS,
                "platforms": TEXTS,
            }
        ),
    )
)

_DEVICE_LIMITS: Final = Items(Object({"path": TEXT, "rate": WHOLE}, extensible=False))
BLKIO: Final = Object(
    {
        "device_read_bps": _DEVICE_LIMITS,
        "device_read_iops": _DEVICE_LIMITS,
        "device_write_bps": _DEVICE_LIMITS,
        "device_write_iops": _DEVICE_LIMITS,
        "weight": WHOLE,
        "weight_device": Items(Object({"path": TEXT, "weight": WHOLE}, extensible=False)),
    },
    extensible=False,
)

DEPENDS_ON: Final = OneOf(
    (
        UNIQUE_TEXTS,
        named(
            Object(
                {
                    "restart": SWITCH,
                    "required": Kinds(("boolean",)),
                    "condition": text(("service_started", "service_healthy", "service_completed_successfully")),
                },
                required=("condition",),
            )
        ),
    )
)

_DEVICE_KEYS: Final[Mapping[str, Shape]] = {
    "capabilities": UNIQUE_TEXTS,
    "count": WHOLE,
    "device_ids": UNIQUE_TEXTS,
    "driver": TEXT,
    "options": LIST_OR_MAP,
}
_ROLLING: Final = Object(
    {
        "parallelism": WHOLE,
        "delay": TEXT,
        "failure_action": TEXT,
        "monitor": TEXT,
        "max_failure_ratio": NUMBER,
        "order": text(("start-first", "stop-first")),
    }
)
_DISCRETE: Final = Object({"kind": TEXT, "value": NUMBER})
DEPLOY: Final = Object(
    {
        "mode": TEXT,
        "endpoint_mode": TEXT,
        "replicas": WHOLE,
        "labels": LIST_OR_MAP,
        "rollback_config": _ROLLING,
        "update_config": _ROLLING,
        "resources": Object(
            {
                "limits": Object({"cpus": NUMBER, "memory": TEXT, "pids": WHOLE}),
                "reservations": Object(
                    {
                        "cpus": NUMBER,
                        "memory": TEXT,
                        "generic_resources": Items(Object({"discrete_resource_spec": _DISCRETE})),
                        "devices": Items(Object(_DEVICE_KEYS, required=("capabilities",))),
                    }
                ),
            }
        ),
        "restart_policy": Object({"condition": TEXT, "delay": TEXT, "max_attempts": WHOLE, "window": TEXT}),
        "placement": Object(
            {
                "constraints": TEXTS,
                "preferences": Items(Object({"spread": TEXT})),
                "max_replicas_per_node": WHOLE,
            }
        ),
    },
    also=("null",),
)

DEVELOP: Final = Object(
    {
        "watch": Items(
            Object(
                {
                    "ignore": TEXT_OR_LIST,
                    "include": TEXT_OR_LIST,
                    "path": TEXT,
                    "action": text(("rebuild", "sync", "restart", "sync+restart", "sync+exec")),
                    "target": TEXT,
                    "exec": HOOK,
                    "initial_sync": Kinds(("boolean",)),
                },
                required=("path", "action"),
            )
        )
    },
    also=("null",),
)

ENV_FILE: Final = OneOf(
    (
        TEXT,
        Items(OneOf((TEXT, Object({"path": TEXT, "format": TEXT, "required": SWITCH}, ("path",), extensible=False)))),
    )
)

HEALTHCHECK: Final = Object(
    {
        "disable": SWITCH,
        "interval": TEXT,
        "retries": NUMBER,
        "test": OneOf((TEXT, TEXTS)),
        "timeout": TEXT,
        "start_period": TEXT,
        "start_interval": TEXT,
    }
)

_OR_NULL: Final = Kinds(("null",))
SERVICE_NETWORKS: Final = OneOf(
    (
        UNIQUE_TEXTS,
        named(
            OneOf(
                (
                    Object(
                        {
                            "aliases": UNIQUE_TEXTS,
                            "interface_name": TEXT,
                            "ipv4_address": TEXT,
                            "ipv6_address": TEXT,
                            "link_local_ips": UNIQUE_TEXTS,
                            "mac_address": TEXT,
                            "driver_opts": DRIVER_OPTIONS,
                            "priority": Kinds(("number",)),
                            "gw_priority": Kinds(("number",)),
                        }
                    ),
                    _OR_NULL,
                )
            )
        ),
    )
)
SERVICE_MODELS: Final = OneOf(
    (UNIQUE_TEXTS, named(OneOf((Object({"endpoint_var": TEXT, "model_var": TEXT}), _OR_NULL)), closed=False))
)

PORTS: Final = Items(
    OneOf(
        (
            Kinds(("number",)),
            TEXT,
            Object(
                {
                    "name": TEXT,
                    "mode": TEXT,
                    "host_ip": TEXT,
                    "target": WHOLE,
                    "published": WHOLE,
                    "protocol": TEXT,
                    "app_protocol": TEXT,
                }
            ),
        )
    ),
    unique=True,
)

VOLUMES: Final = Items(
    OneOf(
        (
            TEXT,
            Object(
                {
                    "type": text(("bind", "volume", "tmpfs", "cluster", "npipe", "image")),
                    "source": TEXT,
                    "target": TEXT,
                    "read_only": SWITCH,
                    "consistency": TEXT,
                    "bind": Object(
                        {
                            "propagation": TEXT,
                            "create_host_path": SWITCH,
                            "recursive": text(("enabled", "disabled", "writable", "readonly")),
                            "selinux": text(("z", "Z")),
                        }
                    ),
                    "volume": Object({"labels": LIST_OR_MAP, "nocopy": SWITCH, "subpath": TEXT}),
                    "tmpfs": Object({"size": OneOf((Kinds(("integer",), least=0), TEXT)), "mode": NUMBER}),
                    "image": Object({"subpath": TEXT}),
                },
                required=("type",),
            ),
        )
    ),
    unique=True,
)

_SCALARS: Final = Kinds(("string", "number", "boolean"))
PROVIDER: Final = Object(
    {"type": TEXT, "options": Keys(OneOf((_SCALARS, Items(_SCALARS))), closed=False)}, required=("type",)
)
PULL_POLICY: Final = "always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+"

SERVICE: Final = Object(
    {
        "annotations": LIST_OR_MAP,
        "attach": SWITCH,
        "blkio_config": BLKIO,
        "build": BUILD,
        "cap_add": UNIQUE_TEXTS,
        "cap_drop": UNIQUE_TEXTS,
        "cgroup": text(("host", "private")),
        "cgroup_parent": TEXT,
        "command": COMMAND,
        "configs": FILE_REFERENCES,
        "container_name": text(pattern="[a-zA-Z0-9][a-zA-Z0-9_.-]+"),
        "cpu_count": OneOf((TEXT, Kinds(("integer",), least=0))),
        "cpu_percent": OneOf((TEXT, Kinds(("integer",), least=0, most=100))),
        "cpu_period": NUMBER,
        "cpu_quota": NUMBER,
        "cpu_rt_period": NUMBER,
        "cpu_rt_runtime": NUMBER,
        "cpu_shares": NUMBER,
        "cpus": NUMBER,
        "cpuset": TEXT,
        "credential_spec": Object({"config": TEXT, "file": TEXT, "registry": TEXT}),
        "depends_on": DEPENDS_ON,
        "deploy": DEPLOY,
        "develop": DEVELOP,
        "device_cgroup_rules": UNIQUE_TEXTS,
        "devices": Items(
            OneOf((TEXT, Object({"source": TEXT, "target": TEXT, "permissions": TEXT}, required=("source",))))
        ),
        "dns": TEXT_OR_LIST,
        "dns_opt": UNIQUE_TEXTS,
        "dns_search": TEXT_OR_LIST,
        "domainname": TEXT,
        "entrypoint": COMMAND,
        "env_file": ENV_FILE,
        "environment": LIST_OR_MAP,
        "expose": Items(NUMBER, unique=True),
        "extends": OneOf((TEXT, Object({"service": TEXT, "file": TEXT}, ("service",), extensible=False))),
        "external_links": UNIQUE_TEXTS,
        "extra_hosts": EXTRA_HOSTS,
        "gpus": OneOf((text(("all",)), Items(Object(_DEVICE_KEYS, open=True)))),
        "group_add": Items(NUMBER, unique=True),
        "healthcheck": HEALTHCHECK,
        "hostname": TEXT,
        "image": TEXT,
        "init": SWITCH,
        "ipc": TEXT,
        "isolation": TEXT,
        "label_file": OneOf((TEXT, TEXTS)),
        "labels": LIST_OR_MAP,
        "links": UNIQUE_TEXTS,
        "logging": Object({"driver": TEXT, "options": Keys(Kinds(("string", "number", "null")), closed=False)}),
        "mac_address": TEXT,
        "mem_limit": NUMBER,
        "mem_reservation": WHOLE,
        "mem_swappiness": WHOLE,
        "memswap_limit": NUMBER,
        "models": SERVICE_MODELS,
        "network_mode": TEXT,
        "networks": SERVICE_NETWORKS,
        "oom_kill_disable": SWITCH,
        "oom_score_adj": OneOf((TEXT, Kinds(("integer",), least=-1000, most=1000))),
        "pid": Kinds(("string", "null")),
        "pids_limit": NUMBER,
        "platform": TEXT,
        "ports": PORTS,
        "post_start": HOOKS,
        "pre_stop": HOOKS,
        "privileged": SWITCH,
        "profiles": UNIQUE_TEXTS,
        "provider": PROVIDER,
        "pull_policy": text(pattern=PULL_POLICY),
        "pull_refresh_after": TEXT,
        "read_only": SWITCH,
        "restart": TEXT,
        "runtime": TEXT,
        "scale": WHOLE,
        "secrets": FILE_REFERENCES,
        "security_opt": UNIQUE_TEXTS,
        "shm_size": NUMBER,
        "stdin_open": SWITCH,
        "stop_grace_period": TEXT,
        "stop_signal": TEXT,
        "storage_opt": Keys(NUMBER, closed=False),
        "sysctls": LIST_OR_MAP,
        "tmpfs": TEXT_OR_LIST,
        "tty": SWITCH,
        "ulimits": ULIMITS,
        "use_api_socket": Kinds(("boolean",)),
        "user": TEXT,
        "userns_mode": TEXT,
        "uts": TEXT,
        "volumes": VOLUMES,
        "volumes_from": UNIQUE_TEXTS,
        "working_dir": TEXT,
    }
)

NETWORK: Final = Object(
    {
        "name": TEXT,
        "driver": TEXT,
        "driver_opts": DRIVER_OPTIONS,
        "ipam": Object(
            {
                "driver": TEXT,
                "config": Items(
                    Object({"subnet": TEXT, "ip_range": TEXT, "gateway": TEXT, "aux_addresses": Keys(TEXT)})
                ),
                "options": Keys(TEXT),
            }
        ),
        "external": EXTERNAL,
        "internal": SWITCH,
        "enable_ipv4": SWITCH,
        "enable_ipv6": SWITCH,
        "attachable": SWITCH,
        "labels": LIST_OR_MAP,
    },
    also=("null",),
)
VOLUME: Final = Object(
    {"name": TEXT, "driver": TEXT, "driver_opts": DRIVER_OPTIONS, "external": EXTERNAL, "labels": LIST_OR_MAP},
    also=("null",),
)
_EXTERNAL_FILE: Final = Object({"name": TEXT}, open=True, also=("boolean", "string"))
SECRET: Final = Object(
    {
        "name": TEXT,
        "environment": TEXT,
        "file": TEXT,
        "external": _EXTERNAL_FILE,
        "labels": LIST_OR_MAP,
        "driver": TEXT,
        "driver_opts": DRIVER_OPTIONS,
        "template_driver": TEXT,
    }
)
CONFIG: Final = Object(
    {
        "name": TEXT,
        "content": TEXT,
        "environment": TEXT,
        "file": TEXT,
        "external": _EXTERNAL_FILE,
        "labels": LIST_OR_MAP,
        "template_driver": TEXT,
    }
)
MODEL: Final = Object(
    {"name": TEXT, "model": TEXT, "context_size": Kinds(("integer",)), "runtime_flags": TEXTS}, required=("model",)
)
INCLUDE: Final = OneOf(
    (
        TEXT,
        Object({"path": TEXT_OR_LIST, "env_file": TEXT_OR_LIST, "project_directory": TEXT}, extensible=False),
    )
)

FILE: Final[Shape] = Object(
    {
        "version": TEXT,
        "name": TEXT,
        "include": Items(INCLUDE),
        "services": named(SERVICE),
        "models": named(MODEL, closed=False),
        "networks": named(NETWORK, closed=False),
        "volumes": named(VOLUME),
        "secrets": named(SECRET),
        "configs": named(CONFIG),
    }
)


def validate(tree: Value, file: str, findings: Findings) -> None:
    """Note everything in a merged file that the specification does not allow."""
    for fault in FILE.faults(tree, ()):
        place = path_text(fault.path)
        findings.problem(f"validating {file}: {place} {fault.message}", fault.path, file=file)
