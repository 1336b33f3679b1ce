"""The commands of agent.pyz: one table, from which `help` is made."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Callable, Final, NamedTuple, NoReturn

from dockpal_agent import __version__

if TYPE_CHECKING:
    from dockpal_agent.config import Config

__all__ = ["COMMANDS", "Command", "main"]

FAILED: Final = 1
USAGE: Final = 2  # bad configuration or a command line that makes no sense


class Command(NamedTuple):
    """`run` takes the arguments after the command's name and returns the exit code."""

    name: str
    arguments: str
    meaning: str
    run: Callable[[list[str]], int]
    hidden: bool = False


def main(argv: list[str]) -> int:
    """Run one command; `argv` is without the program's name. Returns the exit code."""
    name, arguments = (argv[0], argv[1:]) if argv else ("run", [])
    name = {"-h": "help", "--help": "help", "-V": "version", "--version": "version"}.get(name, name)
    command = next((each for each in COMMANDS if each.name == name), None)
    if command is None:
        return _usage(f"unknown command {name!r}; the commands are: {', '.join(_names())}")
    if arguments and not command.arguments:
        return _usage(f"{name} takes no arguments")
    try:
        return command.run(arguments)
    except BrokenPipeError:  # the reader of our output went away (`… | head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return 130


def _names() -> list[str]:
    return [command.name for command in COMMANDS if not command.hidden]


def _usage(text: str) -> int:
    print(f"agent.pyz: {text}", file=sys.stderr)
    return USAGE


def _run(arguments: list[str]) -> int:
    from dockpal_agent import config, log

    reading = config.read(os.environ)
    log.setup(reading.config.log_level, reading.config.log_format)
    log.hide(reading.config.tokens)
    if reading.problems:
        print("agent.pyz: the configuration cannot be used:", file=sys.stderr)
        for problem in reading.problems:
            print(f"  {problem}", file=sys.stderr)
        return USAGE
    from dockpal_agent import agent

    # A deploy that has not ended in its time has pools of threads that the interpreter would wait for; it is settled at
    # the next start.
    return _leave(agent.run(reading.config, reading.warnings))


def _version(arguments: list[str]) -> int:
    print(f"dockpal-agent {__version__} (Python {sys.version.split()[0]})")
    return 0


def _help(arguments: list[str]) -> int:
    from dockpal_agent.config import SETTINGS

    print("dockpal-agent lets a DockPal Server manage this host's Docker.\n\nCommands:")
    for command in COMMANDS:
        if not command.hidden:
            print(f"  {(command.name + ' ' + command.arguments).strip():<28} {command.meaning}")
    print("\nVariables (an empty one counts as absent):")
    for setting in SETTINGS:
        default = f" [{setting.default}]" if setting.default is not None else ""
        only = f" ({setting.modes[0]} mode)" if len(setting.modes) == 1 else ""
        print(f"  {setting.variable}{default}{only}\n      {setting.meaning}; {setting.accepts}")
    print("\nExit codes: 0 done, 1 failed, 2 the configuration or the command line is wrong.")
    return 0


def _config_for_probe() -> Config:
    """The configuration of a command beside the agent, which need not know the token."""
    from dockpal_agent import config  # only here: the reading child starts faster without

    return config.read(os.environ).config


def _healthcheck(arguments: list[str]) -> int:
    config = _config_for_probe()
    if config.mode == "edge":
        from dockpal_agent.transport.edge.health import edge_health

        health = edge_health(config.state_dir, config.edge_heartbeat)
        ok, text = health.ok, health.text
    else:
        from dockpal_agent.probe import direct_health

        ok, text = direct_health(config)
    print(text, file=sys.stdout if ok else sys.stderr)
    return 0 if ok else FAILED


def _fingerprint(arguments: list[str]) -> int:
    from dockpal_agent.probe import fingerprint

    directory = _config_for_probe().tls_cert_dir
    try:
        found = fingerprint(directory)
    except (OSError, ValueError) as error:
        print(f"agent.pyz: {directory}/agent.crt cannot be read: {error}", file=sys.stderr)
        return FAILED
    if found is None:
        hint = "it is made at the first start in direct mode"
        print(f"agent.pyz: there is no certificate in {directory} yet; {hint}", file=sys.stderr)
        return FAILED
    print(f"sha256 {found}")
    return 0


def _doctor(arguments: list[str]) -> int:
    from dockpal_agent import config, doctor

    return doctor.examine(config.read(os.environ), sys.stdout)


def _compose(arguments: list[str]) -> int:
    gc.disable()  # while modules are loaded, whose objects all stay
    from dockpal_agent.compose import command

    gc.enable()
    _leave(command.main(arguments))


def _compose_read(arguments: list[str]) -> int:
    gc.disable()  # the process ends before cycles matter, and its memory has a cap of its own
    from dockpal_agent.compose import reading

    _leave(reading.main(sys.stdin.buffer, sys.stdout.buffer))


def _leave(code: int) -> NoReturn:
    """End the process at once, whatever threads there are: to take the interpreter down would also be a sixth of the
    whole reading of a file.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


COMMANDS: Final[tuple[Command, ...]] = (
    Command("run", "", "run the agent (what happens without a command)", _run),
    Command("healthcheck", "", "ask the running agent whether it serves; exit 0 or 1", _healthcheck),
    Command("doctor", "", "look at everything the agent needs, and say what to do about what is wrong", _doctor),
    Command("fingerprint", "", "SHA-256 of the TLS certificate", _fingerprint),
    Command("compose", "config|plan|up|ps|stop|down …", "Compose projects in the shell; see `compose help`", _compose),
    Command("version", "", "version of the agent and of Python", _version),
    Command("help", "", "this text", _help),
    Command("compose-read", "", "read a Compose file in a process of its own", _compose_read, hidden=True),
)
