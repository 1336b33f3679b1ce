"""Stands for dataclasses in agent.pyz: the same classes, of which each keeps a tenth of the memory.

The real one compiles seven methods for every class, 9 KB that stay, for a hundred classes and more. Here all classes
share one `__repr__`, `__eq__`, `__hash__` and what keeps a frozen one as it is; only `__init__` is made for each.
Options that nobody here uses are refused.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from reprlib import recursive_repr
from typing import Any, Callable, Final, Optional

__all__ = [
    "MISSING",
    "Field",
    "FrozenInstanceError",
    "asdict",
    "dataclass",
    "field",
    "fields",
    "is_dataclass",
    "replace",
]

_FIELDS: Final = "__dataclass_fields__"


class FrozenInstanceError(AttributeError):
    """A field of a frozen instance was assigned or deleted."""


class _Missing:
    """Where no default was given."""


MISSING: Final = _Missing()
_SCOPE: Final = {"_set": object.__setattr__, "_MISSING": MISSING}  # what each `__init__` sees


class Field:
    """One field: its name, its default or what makes it, and what it takes part in."""

    __slots__ = ("compare", "default", "default_factory", "init", "name", "repr")

    def __init__(self, default: Any, default_factory: Any, init: bool, repr: bool, compare: bool) -> None:
        self.name = ""
        self.default = default
        self.default_factory = default_factory
        self.init = init
        self.repr = repr
        self.compare = compare


def field(
    *,
    default: Any = MISSING,
    default_factory: Any = MISSING,
    init: bool = True,
    repr: bool = True,
    compare: bool = True,
) -> Any:
    """As dataclasses.field."""
    return Field(default, default_factory, init, repr, compare)


def dataclass(cls: Optional[type] = None, /, *, frozen: bool = False, eq: bool = True, repr: bool = True) -> Any:
    """As dataclasses.dataclass."""

    def made(cls: type) -> type:
        return _process(cls, frozen, eq, repr)

    return made if cls is None else made(cls)


def fields(of: Any) -> tuple[Field, ...]:
    """The fields of a dataclass or of an instance. Raises TypeError for anything else."""
    try:
        return tuple(getattr(of, _FIELDS).values())
    except AttributeError:
        raise TypeError("must be called with a dataclass type or instance") from None


def is_dataclass(of: Any) -> bool:
    """Whether it is a dataclass or an instance of one."""
    return hasattr(of if isinstance(of, type) else type(of), _FIELDS)


def replace(instance: Any, /, **changes: Any) -> Any:
    """A copy with other values in some fields."""
    for each in fields(instance):
        if each.init:
            changes.setdefault(each.name, getattr(instance, each.name))
        elif each.name in changes:
            raise TypeError(f"field {each.name} is declared with init=False, it cannot be specified with replace()")
    return type(instance)(**changes)


def asdict(instance: Any) -> dict[str, Any]:
    """Names and values, dataclasses inside turned as well."""
    return {each.name: _plain(getattr(instance, each.name)) for each in fields(instance)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return asdict(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_plain, value))
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    if isinstance(value, dict):
        return type(value)((_plain(key), _plain(each)) for key, each in value.items())
    from copy import deepcopy

    return deepcopy(value)


def _process(cls: type, frozen: bool, eq: bool, repr: bool) -> type:
    found = {name: each for base in reversed(cls.__mro__[1:]) for name, each in getattr(base, _FIELDS, {}).items()}
    for name, annotation in _annotations(cls).items():
        if not _is_class_variable(annotation):
            found[name] = _field(cls, name)
    own = vars(cls)
    shared: dict[str, Any] = {_FIELDS: found, "__match_args__": tuple(name for name in found if found[name].init)}
    if repr:
        shared["__repr__"] = _repr
    if eq and "__eq__" not in own:
        shared["__eq__"] = _eq
    shared = {name: value for name, value in shared.items() if name == _FIELDS or name not in own}
    hash_is_given = "__hash__" in own and not (own["__hash__"] is None and "__eq__" in own)
    if eq and not hash_is_given:
        shared["__hash__"] = _hash if frozen else None
    if frozen:
        shared["__setattr__"], shared["__delattr__"] = _refuse_to_set, _refuse_to_delete
    for name, value in shared.items():
        setattr(cls, name, value)
    if "__init__" not in own:
        cls.__init__ = _make_init(cls, found, frozen)  # type: ignore[misc]
    return cls


def _annotations(cls: type) -> Mapping[str, Any]:
    """The class's own: before 3.10, `cls.__annotations__` may be a base's; from 3.14 it is all that there is."""
    own = vars(cls).get("__annotations__")
    return own if own is not None else cls.__annotations__ if sys.version_info >= (3, 10) else {}


def _is_class_variable(annotation: Any) -> bool:
    text = annotation if isinstance(annotation, str) else repr(annotation)
    return text.startswith(("ClassVar", "typing.ClassVar"))


def _field(cls: type, name: str) -> Field:
    """The field that the class's body declares; its default stays as the class's attribute."""
    given = cls.__dict__.get(name, MISSING)
    if not isinstance(given, Field):
        given = Field(given, MISSING, True, True, True)
    elif given.default is MISSING:
        delattr(cls, name)
    else:
        setattr(cls, name, given.default)
    given.name = sys.intern(name)
    if isinstance(given.default, (list, dict, set)):
        raise ValueError(f"mutable default for field {name} is not allowed: use default_factory")
    return given


def _make_init(cls: type, found: Mapping[str, Field], frozen: bool) -> Callable[..., None]:
    """The only method that is compiled for each class, so that arguments are checked, and as fast as ever."""
    arguments, lines, defaults = ["self"], [], []
    for name, each in found.items():
        value = name
        if each.default_factory is not MISSING:
            make = f"self.{_FIELDS}[{name!r}].default_factory()"
            value = f"{make} if {name} is _MISSING else {name}" if each.init else make
        if each.init:
            if each.default is not MISSING or each.default_factory is not MISSING:
                defaults.append(each.default)
            elif defaults:
                raise TypeError(f"non-default argument {name!r} follows default argument")
            arguments.append(name)
        elif each.default_factory is MISSING:
            continue  # the class's attribute is its value
        lines.append(f" _set(self,{name!r},{value})" if frozen else f" self.{name}={value}")
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    made: dict[str, Any] = {}
    exec(f"def __init__({','.join(arguments)}):\n" + ("\n".join(lines) or " pass"), _SCOPE, made)
    made["__init__"].__qualname__ = f"{cls.__qualname__}.__init__"
    made["__init__"].__defaults__ = tuple(defaults) or None
    return made["__init__"]  # type: ignore[no-any-return]


@recursive_repr()
def _repr(self: Any) -> str:
    shown = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{type(self).__qualname__}({shown})"


def _values(instance: Any) -> tuple[Any, ...]:
    return tuple(getattr(instance, each.name) for each in getattr(instance, _FIELDS).values() if each.compare)


def _eq(self: Any, other: Any) -> Any:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _is_closed(instance: Any, name: str) -> bool:
    """Whether the attribute is a field, or any of an instance whose own class is a dataclass."""
    return _FIELDS in vars(type(instance)) or name in getattr(instance, _FIELDS)


def _refuse_to_set(self: Any, name: str, value: Any) -> None:
    if _is_closed(self, name):
        raise FrozenInstanceError(f"cannot assign to field {name!r}")
    object.__setattr__(self, name, value)


def _refuse_to_delete(self: Any, name: str) -> None:
    if _is_closed(self, name):
        raise FrozenInstanceError(f"cannot delete field {name!r}")
    object.__delattr__(self, name)
