"""`compose ps`, `stop` and `down`: projects that are there, by what Docker knows of them."""

from __future__ import annotations

import argparse
import json
import sys
import time

from dockpal_agent.compose.observe import Seen
from dockpal_agent.compose.options import DONE, Progress
from dockpal_agent.compose.running import NoSuchProject, list_project, remove_project, stop_project
from dockpal_agent.compose.shell import project_name, shell

__all__ = ["run_down", "run_ps", "run_stop"]

HEADING = ("NAME", "IMAGE", "SERVICE", "CREATED", "STATUS", "PORTS")


def run_ps(arguments: argparse.Namespace) -> int:
    """Print the project's containers."""
    name = project_name(arguments)
    with shell() as at:
        found = [seen for seen in list_project(at.engine, name) if arguments.all or seen.running]
    if arguments.format == "json":
        json.dump([_as_json(seen) for seen in found], sys.stdout, indent=2)
        print()
        return 0
    rows = [HEADING, *(_row(seen) for seen in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADING))]
    for row in rows:
        print("   ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    return 0


def run_stop(arguments: argparse.Namespace) -> int:
    """Stop all containers of the project."""
    name = project_name(arguments)
    with shell() as at, at.alone(name):
        try:
            stopped = stop_project(at.engine, name, arguments.timeout, at.printer.report, own=at.own)
        except NoSuchProject as error:
            print(f"warning: {error}", file=sys.stderr)
            return 0
        at.printer.report(Progress("stop", "", f"project {name}: {len(stopped)} stopped", DONE))
    return 0


def run_down(arguments: argparse.Namespace) -> int:
    """Remove the project: its containers and networks, with --volumes its named volumes."""
    name = project_name(arguments)
    with shell() as at, at.alone(name):
        try:
            removed = remove_project(
                at.engine,
                name,
                at.printer.report,
                volumes=arguments.volumes,
                timeout=arguments.timeout,
                own=at.own,
            )
        except NoSuchProject as error:
            print(f"warning: {error}", file=sys.stderr)
            return 0
        for warning in removed.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        counts = ", ".join(
            f"{len(names)} {kind}"
            for kind, names in (
                ("containers", removed.containers),
                ("networks", removed.networks),
                ("volumes", removed.volumes),
            )
            if names
        )
        at.printer.report(Progress("down", "", f"project {name} is removed: {counts or 'nothing was left'}", DONE))
    return 0


def _row(seen: Seen) -> tuple[str, ...]:
    return (seen.name, seen.image, seen.service, _age(seen.created), seen.status, ", ".join(_ports(seen)))


def _as_json(seen: Seen) -> dict[str, object]:
    return {
        "ID": seen.id,
        "Name": seen.name,
        "Image": seen.image,
        "Service": seen.service,
        "State": seen.state,
        "Status": seen.status,
        "CreatedAt": seen.created,
        "Ports": _ports(seen),
    }


def _ports(seen: Seen) -> list[str]:
    found = []
    for port in seen.ports:
        inside = f"{port.get('PrivatePort')}/{port.get('Type', 'tcp')}"
        address = f"[{port['IP']}]" if ":" in str(port.get("IP", "")) else str(port.get("IP", ""))
        found.append(f"{address}:{port['PublicPort']}->{inside}" if port.get("PublicPort") else inside)
    return sorted(set(found))


def _age(created: int) -> str:
    seconds = max(0, int(time.time()) - created)
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return f"{seconds} second{'' if seconds == 1 else 's'} ago"
