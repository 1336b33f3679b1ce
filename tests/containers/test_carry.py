"""What a successor is told, and what it must not be told, of its predecessor's inspect."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from dockpal_agent.containers.carry import config_of, endpoints_of, host_config_of

ID = "3f2ab1c29d04" + "0" * 52


def container(
    config: Optional[dict[str, Any]] = None,
    host: Optional[dict[str, Any]] = None,
    networks: Optional[dict[str, Any]] = None,
) -> dict[str, Any]:
    return {"Id": ID, "Config": config or {}, "HostConfig": host or {}, "NetworkSettings": {"Networks": networks or {}}}


@pytest.mark.parametrize(
    ("config", "host", "kept"),
    [
        ({"Hostname": ID[:12]}, {}, {}),
        ({"Hostname": "chosen"}, {}, {"Hostname": "chosen"}),
        ({"Hostname": "theirs", "Domainname": "d", "ExposedPorts": {}}, {"NetworkMode": f"container:{ID}"}, {}),
        ({"Hostname": "the-host"}, {"UTSMode": "host"}, {}),
        ({"MacAddress": ""}, {}, {}),
        ({"MacAddress": "0a:00:00:00:00:01"}, {}, {"MacAddress": "0a:00:00:00:00:01"}),
        ({"Unheard": {"of": 1}}, {}, {"Unheard": {"of": 1}}),
    ],
)
def test_config(config: dict[str, Any], host: dict[str, Any], kept: dict[str, Any]) -> None:
    assert config_of(container(config, host)) == kept


def test_host_config_is_kept_whole_but_for_the_form_of_links() -> None:
    host = {"Links": ["/db:/web/database", "/cache:/web/cache"], "Unheard": 1, "DeviceRequests": [{"Count": -1}]}
    assert host_config_of(container(host=host)) == {**host, "Links": ["db:database", "cache:cache"]}


ENDPOINT = {
    "IPAMConfig": {"IPv4Address": "10.0.0.7"},
    "Links": ["db:database"],
    "Aliases": ["web", ID[:12]],
    "DriverOpts": {"a": "b"},
    "GwPriority": 0,
    "NetworkID": "n" * 64,
    "EndpointID": "e",
    "Gateway": "10.0.0.1",
    "IPAddress": "10.0.0.7",
    "IPPrefixLen": 24,
    "MacAddress": "02:42:0a:00:00:07",
    "DNSNames": ["web"],
}
ASKED_FOR = {
    "IPAMConfig": {"IPv4Address": "10.0.0.7"},
    "Links": ["db:database"],
    "Aliases": ["web"],
    "DriverOpts": {"a": "b"},
    "NetworkID": "n" * 64,
}


@pytest.mark.parametrize("per_endpoint", [False, True])
def test_an_endpoint_keeps_what_was_asked_for(per_endpoint: bool) -> None:
    old = container(host={"NetworkMode": "front"}, networks={"front": ENDPOINT, "back": ENDPOINT})
    assert endpoints_of(old, per_endpoint=per_endpoint) == {"front": ASKED_FOR, "back": ASKED_FOR}


def test_a_chosen_mac_address_is_its_networks() -> None:
    chosen = {**ENDPOINT, "MacAddress": "0a:11:22:33:44:55"}
    old = container({"MacAddress": "0a:11:22:33:44:55"}, {"NetworkMode": "front"}, {"front": chosen, "back": chosen})

    assert endpoints_of(old, per_endpoint=True) == {
        name: {**ASKED_FOR, "MacAddress": "0a:11:22:33:44:55"} for name in ("front", "back")
    }
    assert endpoints_of(old, per_endpoint=False) == {"front": ASKED_FOR, "back": ASKED_FOR}, "Config has it"


@pytest.mark.parametrize("mode", ["host", "none", f"container:{ID}"])
def test_without_networks_of_its_own_none_are_named(mode: str) -> None:
    assert endpoints_of(container(host={"NetworkMode": mode}, networks={mode: ENDPOINT}), per_endpoint=True) is None
