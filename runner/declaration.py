"""What ``@workflow`` is given, looked at when its module is imported: before any job of it is started."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from runner.config import JobConfig
from runner.storable import storable

START_OPTIONS = frozenset(
    {"type", "ifBusy", "priority", "runAt", "timeoutMs", "maxAttempts", "retryDelayMs", "after", "maxMemoryMb"}
    | {"reviewed", "ignoreUnmatched", "ignoreAnnouncement"}
)
"""Names a start request gives a meaning of their own; no config may use them."""

_OF_EVERY_START = START_OPTIONS - {"reviewed", "ignoreUnmatched", "ignoreAnnouncement"}
_TAKE = {
    "lock": ("config",),
    "grace_seconds": ("config", "settings"),
    "retries_anew": ("config",),
    "settle": ("job", "batch", "config"),
    "result": ("job", "items"),
    "check": ("config", "settings"),
    "admit": ("transaction", "job_id", "config", "options"),
    "foretell": ("transaction", "settings", "config", "options"),
}
_ARGUMENTS = ("config", "options", "resumable", *_TAKE)
_LONGEST_NAME = 100


class Misdeclared(TypeError, ValueError):
    """A workflow that could not be started, or would fail in its first run."""

    def __init__(self, name: object, why: str) -> None:
        super().__init__(f"workflow {name!r:.120}: {why}")


def check_arguments(name: str, config: object, arguments: Mapping[str, Any]) -> None:
    """Raises Misdeclared."""
    given: object = name
    if not isinstance(given, str) or not 0 < len(given) <= _LONGEST_NAME or not _is_plain(given):
        raise Misdeclared(name, f"its name is a text of 1 to {_LONGEST_NAME} printable characters")
    for argument in arguments:
        if argument not in _ARGUMENTS:
            near = difflib.get_close_matches(argument, _ARGUMENTS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_ARGUMENTS)}"
            raise Misdeclared(name, f"there is no option {argument!r}; {hint}")
    _check_model(name, "config", config)
    if arguments.get("options") is not None:
        _check_model(name, "options", arguments["options"])
    if not isinstance(arguments.get("resumable", False), bool):
        raise Misdeclared(name, "resumable is True or False")
    _check_grace(name, arguments.get("grace_seconds"))
    for argument, takes in _TAKE.items():
        found = arguments.get(argument)
        if found is not None and not (argument == "grace_seconds" and not callable(found)):
            _check_function(name, argument, found, takes)
    _refuse_reserved(name, config, arguments.get("options"))


def check_run(name: str, run: object) -> None:
    """Raises Misdeclared."""
    if inspect.isclass(run):
        raise Misdeclared(name, "it is a function (job, config), not a class")
    _check_function(name, "what it runs", run, ("job", "config"))


def same_place(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Whether it is the same piece of code, of a module that was loaded again."""
    return _place(one) == _place(other)


def where(run: Callable[..., Any]) -> str:
    module, name, line = _place(run)
    return f"{module}.{name}" + (f", line {line}" if line else "")


def _place(run: Callable[..., Any]) -> tuple[str, str, int]:
    code = getattr(inspect.unwrap(run), "__code__", None)
    named = getattr(run, "__qualname__", type(run).__qualname__)
    return getattr(run, "__module__", "?"), named, code.co_firstlineno if code is not None else 0


def _is_plain(name: str) -> bool:
    return name.isprintable() and name == storable(name) and name == name.strip()


def _check_model(name: str, argument: str, model: object) -> None:
    if not (isinstance(model, type) and issubclass(model, JobConfig)):
        shown = model.__name__ if isinstance(model, type) else repr(model)[:80]
        raise Misdeclared(name, f"{argument} is a class that inherits from JobConfig, not {shown}")


def _check_grace(name: str, grace: object) -> None:
    if grace is None or callable(grace):
        return
    if not isinstance(grace, (int, float)) or isinstance(grace, bool) or not 0 <= grace < float("inf"):
        raise Misdeclared(name, "grace_seconds is a number of seconds from 0 on, or a function (config, settings)")


def _check_function(name: str, argument: str, function: object, takes: Iterable[str]) -> None:
    shown = f"a function ({', '.join(takes)})"
    if not callable(function):
        raise Misdeclared(name, f"{argument} is {shown}, not {type(function).__name__}")
    plain: Any = inspect.unwrap(getattr(function, "func", function))  # of a partial: what it calls
    called = plain if inspect.isroutine(plain) or inspect.isclass(plain) else type(plain).__call__
    if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
        raise Misdeclared(name, f"{argument} is {shown}, not an async one; say asyncio.run inside")
    if inspect.isgeneratorfunction(called) and argument != "result":
        raise Misdeclared(name, f"{argument} has a yield in it, so that calling it does nothing; it must be {shown}")
    try:
        inspect.signature(function).bind(*takes)
    except TypeError:
        raise Misdeclared(name, f"{argument} must be callable as {shown}") from None
    except ValueError:
        return  # a function of C that does not say what it takes


def _refuse_reserved(name: str, config: Any, options: Any) -> None:
    fields, own = _wire_names(name, config), _wire_names(name, options) if options is not None else []
    if taken := sorted(START_OPTIONS.intersection(fields)):
        raise Misdeclared(name, f"{', '.join(taken)} is a start option and may not be a config field")
    if taken := sorted(_OF_EVERY_START.intersection(own)):
        raise Misdeclared(name, f"{', '.join(taken)} is an option of every start and may not be one of its own")
    if taken := sorted(set(fields).intersection(own)):
        raise Misdeclared(name, f"{', '.join(taken)} is both a config field and an option")


def _wire_names(name: str, model: type[JobConfig]) -> list[str]:
    found: dict[str, str] = {}
    for field, about in model.model_fields.items():
        if field in vars(JobConfig) and callable(getattr(JobConfig, field, None)):
            raise Misdeclared(name, f"a field may not be called {field}: JobConfig itself has that name")
        wire = about.alias or field
        if wire in found:
            raise Misdeclared(name, f"its fields {found[wire]} and {field} have the same name on the wire, {wire}")
        found[wire] = field
    return list(found)
