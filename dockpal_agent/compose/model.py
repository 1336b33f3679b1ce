"""The model: every attribute with its reader, in the order in which Compose prints them and makes its hash.

Source: the structures of compose-go's package types, whose order of fields is this order.
"""

from __future__ import annotations

from typing import Final

from dockpal_agent.compose.errors import Findings
from dockpal_agent.compose.fields import (
    OMIT,
    Field,
    Place,
    Reader,
    Record,
    command,
    decimal,
    duration,
    each,
    extensions_of,
    flag,
    flag_or_unset,
    host_list,
    mapping,
    mapping_of_texts,
    mapping_with_unset,
    mode,
    number,
    number_or_unset,
    record,
    size,
    strings,
    strings_of_any,
    table,
    text,
    unsigned,
    unsigned_or_unset,
)
from dockpal_agent.compose.tree import Path, Value

__all__ = ["KINDS", "SERVICE_ROWS", "model"]


def _or_nothing(reader: Reader) -> Reader:
    """A record that may be null, which is the same as absent."""
    return lambda value, place: OMIT if value is None else reader(value, place)


def _health_test(value: Value, place: Place) -> Value:
    return ["CMD-SHELL", value] if isinstance(value, str) else strings(value, place)


def _device_count(value: Value, place: Place) -> Value:
    if isinstance(value, str) and value.lower() == "all":
        return -1
    if isinstance(value, str) and not value.lstrip("-").isdigit():
        return place.refuse(f"invalid value \"{value}\", the only value allowed is 'all' or a number")
    return number(value, place)


def _ulimit(value: Value, place: Place) -> Value:
    if isinstance(value, int):
        return value if value else {}
    return record({"soft": number, "hard": number})(value, place)


def _ssh(value: Value, place: Place) -> Value:
    return [key if value[key] is None else f"{key}={value[key]}" for key in sorted(value)] or OMIT


def _options(value: Value, place: Place) -> Value:
    made = {}
    for key in sorted(value):
        items = value[key] if isinstance(value[key], list) else [value[key]]
        made[key] = strings_of_any(items, place)
    return made or OMIT


def _env_file(value: Value, place: Place) -> Value:
    return {"path": str(value.get("path", "")), "required": flag_or_unset(value.get("required", True), place),
            "format": str(value.get("format", ""))}  # fmt: skip


def _size_or_number(value: Value, place: Place) -> Value:
    """A struct's field without omitempty: always there."""
    made = size(value, place)
    return "0" if made is OMIT else made


def _zero(value: Value, place: Place) -> Value:
    """A whole number that is always there."""
    made = unsigned("uint16")(value, place)
    return 0 if made is OMIT else made


def _whole(value: Value, place: Place) -> Value:
    made = number(value, place)
    return 0 if made is OMIT else made


def _any_text(value: Value, place: Place) -> Value:
    return "" if value is None else str(value)


_FILE_REFERENCE: Final = record({"source": text, "target": text, "uid": text, "gid": text, "mode": mode})
_ULIMITS: Final = table(_ulimit)
_HOOK: Final = record(
    {
        "command": Field(command, always=True),
        "user": text,
        "privileged": flag,
        "working_dir": text,
        "environment": mapping_with_unset,
    }
)

_BUILD: Final = record(
    {
        "context": text,
        "dockerfile": text,
        "dockerfile_inline": text,
        "entitlements": strings,
        "args": mapping_with_unset,
        "provenance": text,
        "sbom": text,
        "ssh": _ssh,
        "labels": mapping,
        "cache_from": strings,
        "cache_to": strings,
        "no_cache": flag,
        "additional_contexts": mapping,
        "pull": flag,
        "extra_hosts": host_list,
        "isolation": text,
        "network": text,
        "target": text,
        "secrets": each(_FILE_REFERENCE),
        "shm_size": size,
        "tags": strings,
        "ulimits": _ULIMITS,
        "platforms": strings,
        "privileged": flag,
    }
)

_WATCH: Final = record(
    {
        "path": Field(_any_text, always=True),
        "action": Field(_any_text, always=True),
        "target": text,
        "exec": Field(_HOOK, always=True),
        "include": strings,
        "ignore": strings,
        "initial_sync": flag,
    }
)

_CAPITALS: Final = {"path": "Path", "weight": "Weight", "rate": "Rate"}  # these structures have no JSON names
_DEVICE_RATES: Final = each(
    record({"path": Field(_any_text, always=True), "rate": Field(_size_or_number, always=True)}, names=_CAPITALS)
)
_BLKIO: Final = record(
    {
        "weight": unsigned("uint16"),
        "weight_device": each(
            record({"path": Field(_any_text, always=True), "weight": Field(_zero, always=True)}, names=_CAPITALS)
        ),
        "device_read_bps": _DEVICE_RATES,
        "device_read_iops": _DEVICE_RATES,
        "device_write_bps": _DEVICE_RATES,
        "device_write_iops": _DEVICE_RATES,
    }
)

_DEVICE_REQUEST: Final = record(
    {"capabilities": strings, "driver": text, "count": _device_count, "device_ids": strings, "options": mapping}
)
_ROLLING: Final = record(
    {
        "parallelism": unsigned_or_unset("uint64"),
        "delay": lambda value, place: _duration_or_nothing(value, place),
        "failure_action": text,
        "monitor": lambda value, place: _duration_or_nothing(value, place),
        "max_failure_ratio": decimal,
        "order": text,
    }
)


def _duration_or_nothing(value: Value, place: Place) -> Value:
    made = duration(value, place)
    return OMIT if made == "0s" else made


_RESOURCE: Final = record(
    {
        "cpus": decimal,
        "memory": size,
        "pids": number,
        "devices": each(_DEVICE_REQUEST),
        "generic_resources": each(
            record(
                {
                    "discrete_resource_spec": record(
                        {"kind": Field(_any_text, always=True), "value": Field(_whole, always=True)}
                    )
                }
            )
        ),
    }
)
_DEPLOY: Final = record(
    {
        "mode": text,
        "replicas": number_or_unset,
        "labels": mapping,
        "update_config": _ROLLING,
        "rollback_config": _ROLLING,
        "resources": Field(record({"limits": _RESOURCE, "reservations": _RESOURCE}), always=True),
        "restart_policy": record(
            {"condition": text, "delay": duration, "max_attempts": unsigned_or_unset("uint64"), "window": duration}
        ),
        "placement": Field(
            record(
                {
                    "constraints": strings,
                    "preferences": each(record({"spread": text})),
                    "max_replicas_per_node": unsigned("uint64"),
                }
            ),
            always=True,
        ),
        "endpoint_mode": text,
    }
)

_HEALTHCHECK: Final = record(
    {
        "test": _health_test,
        "timeout": duration,
        "interval": duration,
        "retries": unsigned_or_unset("uint64"),
        "start_period": duration,
        "start_interval": duration,
        "disable": flag,
    }
)
_SERVICE_NETWORK: Final = record(
    {
        "aliases": strings,
        "driver_opts": mapping,
        "gw_priority": number,
        "interface_name": text,
        "ipv4_address": text,
        "ipv6_address": text,
        "link_local_ips": strings,
        "mac_address": text,
        "priority": number,
    }
)
_PORT: Final = record(
    {
        "name": text,
        "mode": text,
        "host_ip": text,
        "target": unsigned("uint32"),
        "published": text,
        "protocol": text,
        "app_protocol": text,
    }
)
_MOUNT: Final = record(
    {
        "type": text,
        "source": text,
        "target": text,
        "read_only": flag,
        "consistency": text,
        "bind": record({"selinux": text, "propagation": text, "create_host_path": flag, "recursive": text}),
        "volume": record({"labels": mapping, "nocopy": flag, "subpath": text}),
        "tmpfs": record({"size": size, "mode": unsigned("uint32")}),
        "image": record({"subpath": text}),
    }
)
_DEPENDENCY: Final = record({"condition": text, "restart": flag, "required": flag_or_unset})

SERVICE_ROWS: Final[Record] = {
    "profiles": strings,
    "annotations": mapping,
    "attach": flag_or_unset,
    "build": _BUILD,
    "develop": _or_nothing(record({"watch": each(_WATCH)})),
    "blkio_config": _BLKIO,
    "cap_add": strings,
    "cap_drop": strings,
    "cgroup_parent": text,
    "cgroup": text,
    "cpu_count": number,
    "cpu_percent": decimal,
    "cpu_period": number,
    "cpu_quota": number,
    "cpu_rt_period": number,
    "cpu_rt_runtime": number,
    "cpus": decimal,
    "cpuset": text,
    "cpu_shares": number,
    "command": Field(command, always=True),
    "configs": each(_FILE_REFERENCE),
    "container_name": text,
    "credential_spec": record({"config": text, "file": text, "registry": text}),
    "depends_on": table(_DEPENDENCY),
    "deploy": _or_nothing(_DEPLOY),
    "device_cgroup_rules": strings,
    "devices": each(record({"source": text, "target": text, "permissions": text})),
    "dns": strings,
    "dns_opt": strings,
    "dns_search": strings,
    "domainname": text,
    "entrypoint": Field(command, always=True),
    "provider": record({"type": text, "options": _options}),
    "environment": mapping_with_unset,
    "env_file": each(_env_file),
    "expose": strings_of_any,
    "external_links": strings,
    "extra_hosts": host_list,
    "group_add": each(text),
    "gpus": each(_DEVICE_REQUEST),
    "hostname": text,
    "healthcheck": _HEALTHCHECK,
    "image": text,
    "init": flag_or_unset,
    "ipc": text,
    "isolation": text,
    "labels": mapping,
    "label_file": strings,
    "links": strings,
    "logging": record({"driver": text, "options": mapping}),
    "mem_limit": size,
    "mem_reservation": size,
    "memswap_limit": size,
    "mem_swappiness": size,
    "mac_address": text,
    "models": table(record({"endpoint_var": text, "model_var": text})),
    "network_mode": text,
    "networks": table(_SERVICE_NETWORK),
    "oom_kill_disable": flag,
    "oom_score_adj": number,
    "pid": text,
    "pids_limit": number,
    "platform": text,
    "ports": each(_PORT),
    "privileged": flag,
    "pull_policy": text,
    "read_only": flag,
    "restart": text,
    "runtime": text,
    "scale": number_or_unset,
    "secrets": each(_FILE_REFERENCE),
    "security_opt": strings,
    "shm_size": size,
    "stdin_open": flag,
    "stop_grace_period": duration,
    "stop_signal": text,
    "storage_opt": mapping_of_texts,
    "sysctls": mapping,
    "tmpfs": strings,
    "tty": flag,
    "ulimits": _ULIMITS,
    "use_api_socket": flag,
    "user": text,
    "userns_mode": text,
    "uts": text,
    "volumes": each(_MOUNT),
    "volumes_from": strings,
    "working_dir": text,
    "post_start": each(_HOOK),
    "pre_stop": each(_HOOK),
}

_FILE_OBJECT: Final = record(
    {
        "name": text,
        "file": text,
        "environment": text,
        "content": text,
        "external": flag,
        "labels": mapping,
        "driver": text,
        "driver_opts": mapping_of_texts,
        "template_driver": text,
    }
)

KINDS: Final = {
    "services": record(SERVICE_ROWS),
    "networks": record(
        {
            "name": text,
            "driver": text,
            "driver_opts": mapping,
            "ipam": Field(
                record(
                    {
                        "driver": text,
                        "config": each(
                            record({"subnet": text, "gateway": text, "ip_range": text, "aux_addresses": mapping})
                        ),
                    }
                ),
                always=True,
            ),
            "external": flag,
            "internal": flag,
            "attachable": flag,
            "labels": mapping,
            "enable_ipv4": flag_or_unset,
            "enable_ipv6": flag_or_unset,
        }
    ),
    "volumes": record({"name": text, "driver": text, "driver_opts": mapping, "external": flag, "labels": mapping}),
    "secrets": _FILE_OBJECT,
    "configs": _FILE_OBJECT,
    "models": record({"name": text, "model": text, "context_size": number, "runtime_flags": strings}),
}


def model(tree: Value, findings: Findings, extensions: dict[Path, Value]) -> dict[str, dict[str, Value]]:
    """Each kind of a project's parts by name, as Compose prints them; `x-` fields go to `extensions`, by place."""
    made: dict[str, dict[str, Value]] = {}
    top = extensions_of(tree)
    if top:
        extensions[()] = top
    for kind, reader in KINDS.items():
        place = Place((kind,), kind, findings, extensions)
        given = tree.get(kind) or {}
        made[kind] = {name: reader(given[name], place.key(name)) for name in sorted(given)}
    return made
