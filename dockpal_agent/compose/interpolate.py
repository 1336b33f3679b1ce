"""Variables put into the text values of a tree, and text made into numbers and booleans where the schema wants them.

Compose Specification, Interpolation. Keys stay as they are. It runs for each file, before files are merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, Final

from dockpal_agent.compose.errors import Findings
from dockpal_agent.compose.golang import parse_float, parse_integer
from dockpal_agent.compose.template import InvalidTemplate, MissingVariable, substitute
from dockpal_agent.compose.tree import Path, Rules, Value, pattern_text
from dockpal_agent.compose.units import parse_bool

__all__ = ["CASTS", "Interpolation", "interpolate"]

Cast = Callable[[str, Findings], Value]


def _integer(text: str, findings: Findings) -> int:
    number = parse_integer(text)
    if number is None:
        raise ValueError(f'strconv.Atoi: parsing "{text}": invalid syntax')
    return number


def _integer64(text: str, findings: Findings) -> int:
    number = parse_integer(text)
    if number is None:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return number


def _decimal(text: str, findings: Findings) -> float:
    number = parse_float(text)
    if number is None:
        raise ValueError(f'strconv.ParseFloat: parsing "{text}": invalid syntax')
    return number


def _boolean(text: str, findings: Findings) -> bool:
    value = parse_bool(text)
    if text.lower() not in ("true", "false"):
        better = "true" if value else "false"
        findings.warn(f'"{text}" for boolean is not supported by YAML 1.2, please use `{better}`')
    return value


_SERVICE_CASTS: Final[Mapping[str, Cast]] = {
    "cpu_count": _integer64,
    "cpu_percent": _decimal,
    "cpu_period": _integer64,
    "cpu_quota": _integer64,
    "cpu_rt_period": _integer64,
    "cpu_rt_runtime": _integer64,
    "cpus": _decimal,
    "cpu_shares": _integer64,
    "init": _boolean,
    "deploy.replicas": _integer,
    "deploy.update_config.parallelism": _integer,
    "deploy.update_config.max_failure_ratio": _decimal,
    "deploy.rollback_config.parallelism": _integer,
    "deploy.rollback_config.max_failure_ratio": _decimal,
    "deploy.restart_policy.max_attempts": _integer,
    "deploy.placement.max_replicas_per_node": _integer,
    "healthcheck.retries": _integer,
    "healthcheck.disable": _boolean,
    "oom_kill_disable": _boolean,
    "oom_score_adj": _integer64,
    "pids_limit": _integer64,
    "ports.*.target": _integer,
    "privileged": _boolean,
    "read_only": _boolean,
    "scale": _integer,
    "stdin_open": _boolean,
    "tty": _boolean,
    "ulimits.*": _integer,
    "ulimits.*.hard": _integer,
    "ulimits.*.soft": _integer,
    "volumes.*.read_only": _boolean,
    "volumes.*.volume.nocopy": _boolean,
}
_NETWORK_SWITCHES: Final = ("external", "internal", "attachable", "enable_ipv4", "enable_ipv6")

CASTS: Final[Rules[Cast]] = Rules(
    {
        **{f"services.*.{attribute}": cast for attribute, cast in _SERVICE_CASTS.items()},
        **{f"networks.*.{switch}": _boolean for switch in _NETWORK_SWITCHES},
        **{f"{kind}.*.external": _boolean for kind in ("volumes", "secrets", "configs")},
    }
)
_NOTHING: Final[Rules[Cast]] = Rules({})
_SHOWN: Final = 200  # characters of a template in a message


class Interpolation:
    """One pass over one file's tree; what is wrong or missing goes to the findings."""

    def __init__(self, variables: Mapping[str, str], findings: Findings) -> None:
        self._variables = variables
        self._findings = findings

    def value(self, value: Value, path: Path, casts: Rules[Cast]) -> Value:
        """The value with variables put in and casts done, at every depth."""
        if isinstance(value, str):
            return self._text(value, path, casts.rule)
        if isinstance(value, dict):
            return {key: self.value(item, (*path, key), casts.step(key) or _NOTHING) for key, item in value.items()}
        if isinstance(value, list):
            below = casts.step(0) or _NOTHING
            return [self.value(item, (*path, index), below) for index, item in enumerate(value)]
        return value

    def _text(self, text: str, path: Path, cast: Cast | None) -> Value:
        try:
            made = substitute(text, self._variables.get, self._unset)
            return made if cast is None else self._cast(made, path, cast)
        except InvalidTemplate as error:
            self._findings.problem(
                f"invalid interpolation format for {pattern_text(path)}.\n"
                f"You may need to escape any $ with another $.\n{error.template[:_SHOWN]}",
                path,
            )
        except (MissingVariable, ValueError) as error:
            self._findings.problem(f"error while interpolating {pattern_text(path)}: {error}", path)
        return text

    def _cast(self, text: str, path: Path, cast: Cast) -> Value:
        try:
            return cast(text, self._findings)
        except ValueError as error:
            raise ValueError(f"failed to cast to expected type: {error}") from None

    def _unset(self, name: str) -> None:
        self._findings.warn(f'The "{name}" variable is not set. Defaulting to a blank string.')


def interpolate(tree: Value, variables: Mapping[str, str], findings: Findings) -> Value:
    """A file's tree with its variables put in."""
    return Interpolation(variables, findings).value(tree, (), CASTS)
