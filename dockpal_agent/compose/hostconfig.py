"""A service's attributes as HostConfig of POST /containers/create has them; volumes and networks stand elsewhere.

Coverage 2; docker compose's pkg/compose/create.go, getCreateConfigs and getDeployResources.
"""

from __future__ import annotations

import re
from typing import Any, Final

from dockpal_agent.compose.project import Entry

__all__ = ["host_fields"]

# attribute → HostConfig's field, values as they are
_PLAIN: Final = {
    "annotations": "Annotations",  # API 1.43
    "cap_add": "CapAdd",
    "cap_drop": "CapDrop",
    "cgroup": "CgroupnsMode",
    "cgroup_parent": "CgroupParent",
    "cpu_count": "CpuCount",
    "cpu_period": "CpuPeriod",
    "cpu_quota": "CpuQuota",
    "cpu_rt_period": "CpuRealtimePeriod",
    "cpu_rt_runtime": "CpuRealtimeRuntime",
    "cpu_shares": "CpuShares",
    "cpuset": "CpusetCpus",
    "device_cgroup_rules": "DeviceCgroupRules",
    "dns": "Dns",
    "dns_opt": "DnsOptions",
    "dns_search": "DnsSearch",
    "group_add": "GroupAdd",
    "init": "Init",
    "ipc": "IpcMode",
    "oom_score_adj": "OomScoreAdj",
    "pid": "PidMode",
    "pids_limit": "PidsLimit",
    "privileged": "Privileged",
    "read_only": "ReadonlyRootfs",
    "runtime": "Runtime",
    "storage_opt": "StorageOpt",
    "sysctls": "Sysctls",
    "userns_mode": "UsernsMode",
    "uts": "UTSMode",
}
_SIZES: Final = {  # texts of bytes in the model
    "mem_limit": "Memory",
    "mem_reservation": "MemoryReservation",
    "mem_swappiness": "MemorySwappiness",
    "memswap_limit": "MemorySwap",
    "shm_size": "ShmSize",
}
_SINCE: Final = {"annotations": (1, 43)}
_CDI: Final = re.compile(  # the name of a device, `vendor.com/class=name`, of the Container Device Interface
    r"[A-Za-z](?:[\w.-]*[A-Za-z0-9])?/[A-Za-z](?:[\w-]*[A-Za-z0-9])?=[A-Za-z0-9](?:[\w.:-]*[A-Za-z0-9])?", re.ASCII
)
_POLICIES: Final = {"any": "always", "none": "no"}
_DEVICE_RATES: Final = {
    "device_read_bps": "BlkioDeviceReadBps",
    "device_read_iops": "BlkioDeviceReadIOps",
    "device_write_bps": "BlkioDeviceWriteBps",
    "device_write_iops": "BlkioDeviceWriteIOps",
}


def host_fields(entry: Entry, version: tuple[int, int]) -> dict[str, Any]:
    """The fields that the entry asks for, no others. Raises ValueError for a security option that is none."""
    fields: dict[str, Any] = {
        field: entry[key] for key, field in _PLAIN.items() if key in entry and version >= _SINCE.get(key, version)
    }
    fields.update({field: int(entry[key]) for key, field in _SIZES.items() if key in entry})
    fields["OomKillDisable"] = bool(entry.get("oom_kill_disable"))
    if "cpus" in entry:
        fields["NanoCpus"] = _nano(entry["cpus"])
    if "cpu_percent" in entry:
        fields["CpuPercent"] = int(entry["cpu_percent"] * 100)
    fields["ExtraHosts"] = [text.replace("=", ":", 1) for text in entry.get("extra_hosts", ())]
    fields.update({name: _capabilities(fields[name]) for name in ("CapAdd", "CapDrop") if name in fields})
    if "logging" in entry:
        fields["LogConfig"] = {
            "Type": entry["logging"].get("driver", ""),
            "Config": entry["logging"].get("options", {}),
        }
    if "ulimits" in entry:
        fields["Ulimits"] = [_ulimit(name, value) for name, value in entry["ulimits"].items()]
    fields["RestartPolicy"] = _restart_policy(entry)
    fields.update(_security(entry.get("security_opt", ())))
    fields.update(_blkio(entry.get("blkio_config", {})))
    fields.update(_devices(entry))
    fields.update(_limits(entry.get("deploy", {}).get("resources", {})))
    return fields


def _nano(cpus: float) -> int:
    return int(float(cpus) * 1e9)


def _capabilities(names: list[str]) -> list[str]:
    """As Docker's own client sends them: `CAP_NET_ADMIN`, sorted, each once; ALL as it is."""
    found = {name.upper() for name in names}
    return sorted(name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}" for name in found)


def _ulimit(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"Name": name, "Soft": value.get("soft", 0), "Hard": value.get("hard", 0)}
    return {"Name": name, "Soft": value, "Hard": value}


def _restart_policy(entry: Entry) -> dict[str, Any]:
    """`deploy.restart_policy` wins over `restart`."""
    deployed = entry.get("deploy", {}).get("restart_policy")
    if deployed is not None:
        condition = deployed.get("condition", "")
        return {"Name": _POLICIES.get(condition, condition), "MaximumRetryCount": deployed.get("max_attempts", 0)}
    name, _, attempts = entry.get("restart", "").partition(":")
    count = int(attempts) if attempts.isdigit() else 0
    return {"Name": _POLICIES.get(name, name), "MaximumRetryCount": count}


def _security(options: Any) -> dict[str, Any]:
    """SecurityOpt. `systempaths=unconfined` is two other fields."""
    fields: dict[str, Any] = {}
    parsed = []
    for option in options:
        if option == "systempaths=unconfined":
            fields.update({"MaskedPaths": [], "ReadonlyPaths": []})
            continue
        if "=" not in option and ":" not in option and option != "no-new-privileges":
            raise ValueError(f'invalid security-opt: "{option}"')
        parsed.append(option)
    if parsed:
        fields["SecurityOpt"] = parsed
    return fields


def _blkio(config: Entry) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if config.get("weight"):
        fields["BlkioWeight"] = config["weight"]
    if config.get("weight_device"):
        fields["BlkioWeightDevice"] = [
            {"Path": device["Path"], "Weight": device["Weight"]} for device in config["weight_device"]
        ]
    for key, field in _DEVICE_RATES.items():
        if config.get(key):
            fields[field] = [{"Path": device["Path"], "Rate": int(device["Rate"])} for device in config[key]]
    return fields


def _devices(entry: Entry) -> dict[str, Any]:
    requests = [_device_request(device, ("gpu",)) for device in entry.get("gpus", ())]
    reserved = entry.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices", ())
    requests += [_device_request(device, ()) for device in reserved]
    devices, by_name = [], []
    for device in entry.get("devices", ()):
        source, target = device.get("source", ""), device.get("target", "")
        if source == target and _CDI.fullmatch(source):
            by_name.append(source)
            continue
        devices.append(
            {"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": device.get("permissions", "")}
        )
    if by_name:
        requests.append({"Driver": "cdi", "Count": 0, "DeviceIDs": by_name, "Capabilities": None, "Options": None})
    fields = {"Devices": devices, "DeviceRequests": requests}
    return {name: value for name, value in fields.items() if value}


def _device_request(device: Entry, more: tuple[str, ...]) -> dict[str, Any]:
    return {
        "Driver": device.get("driver", ""),
        "Count": device.get("count", 0),
        "DeviceIDs": device.get("device_ids"),
        "Capabilities": [[*device.get("capabilities", ()), *more]],
        "Options": device.get("options"),
    }


def _limits(resources: Entry) -> dict[str, Any]:
    """What `deploy.resources` means outside of a swarm; it wins over the attributes of the same meaning."""
    limits, reservations = resources.get("limits", {}), resources.get("reservations", {})
    fields: dict[str, Any] = {}
    if limits.get("memory"):
        fields["Memory"] = int(limits["memory"])
    if limits.get("cpus"):
        fields["NanoCpus"] = _nano(limits["cpus"])
    if limits.get("pids"):
        fields["PidsLimit"] = limits["pids"]
    if reservations.get("memory"):
        fields["MemoryReservation"] = int(reservations["memory"])
    return fields
