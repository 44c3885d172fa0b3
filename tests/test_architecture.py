"""The house rules, held by reading the source. A new module in runner/ must be given its place in LAYERS."""

import ast
import functools
import graphlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("runner", "web", "scripts")
FILE_LINES = 300
FUNCTION_LINES = 40

# From the ground up. A module may import what lies below it, and its neighbours of the same row as long as no
# circle comes of it. A name stands for one module; with `.*`, for everything in a package.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("runner",),  # the map of the house; imports nothing
    (
        "runner.clock",
        "runner.errors",
        "runner.settings",
        "runner.crashpoint",
        "runner.identity",
        "runner.networks",
        "runner.numbering",
    ),
    ("runner.storable", "runner.visible", "runner.frames", "runner.joblog"),
    ("runner.job", "runner.token"),
    ("runner.failure", "runner.lastwords"),
    ("runner.waits",),
    (
        "runner.abort",
        "runner.store",
        "runner.gateway",
        "runner.proc",
        "runner.priority",
        "runner.cgroup",
        "runner.tree",
        "runner.containment",
        "runner.stop",
        "runner.watch",
        "runner.linefile",
        "runner.journal",
        "runner.memory",
        "runner.sockets",
        "runner.births",
    ),
    ("runner.stores", "runner.stores.*"),
    (
        "runner.config",
        "runner.declaration",
        "runner.loading",
        "runner.workflow",
        "runner.fitting",
        "runner.ledger",
        "runner.positions",
        "runner.source",
        "runner.backoff",
        "runner.arguments",
        "runner.checkpoints",
        "runner.batch",
        "runner.plan",
        "runner.loops",
        "runner.context",
    ),
    ("runner.gateways", "runner.gateways.*"),
    ("runner.opening",),
    ("runner.webhook",),
    ("runner.groups", "runner.groups.*", "runner.webhooks", "runner.webhooks.*"),
    ("runner.workflows", "runner.workflows.*"),
    (
        "runner.outlets",
        "runner.console",
        "runner.output",
        "runner.stacks",
        "runner.snapshot",
        "runner.postmortem",
        "runner.lines",
        "runner.live",
        "runner.child",
        "runner.fork_server",
        "runner.control",
        "runner.process",
        "runner.preload",
        "runner.warm",
        "runner.standby",
        "runner.sweep",
    ),
    ("runner.machine",),
    (
        "runner.unready",
        "runner.ending",
        "runner.running",
        "runner.waiting",
        "runner.records",
        "runner.limits",
        "runner.launcher",
        "runner.results",
    ),
    ("runner.supervisor",),
    ("runner.standing",),
    ("runner.dispatcher", "runner.dispatchers", "runner.dispatchers.*"),
    ("runner.cancelling", "runner.pausing", "runner.leaving", "runner.starting", "runner.readiness"),
    ("runner.manager",),
    ("runner.demo", "runner.demo.*", "runner.__main__"),
    ("runner.testing", "runner.testing.*"),
    ("web", "web.*"),
)

# What stands at the side is known to the rest by its contract; only these modules may name what is inside. Of
# the stores that is the way to a database; the rows work on any and are read by whoever holds a transaction.
SIDES = {
    "runner.stores.database": ("runner.stores", "runner.stores.*", "runner.opening"),
    "runner.gateways": ("runner.gateways", "runner.gateways.*", "runner.opening"),
}

# The runner is for any work. Only these know which messenger the first users have.
KNOW_THE_MESSENGER = (
    "runner.identity",
    "runner.groups*",
    "runner.gateways*",
    "runner.webhook*",
    "runner.workflows*",
    "runner.demo*",
)
MESSENGER_WORDS = ("whatsapp", "@g.us")

WORDS_NOT_USED = frozenset({"task", "handler", "helper", "util", "common", "base", "core", "service"})
NAMES_OF_LIBRARIES = frozenset(
    {"add_error_handler", "handlers", "service", "error_task_class"}
)  # falcon's, logging's and waitress's own

CALLS_NOT_MADE = frozenset(
    {"eval", "exec", "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "yaml.load"}
)

A_JOB_PROCESS_NEVER_LOADS = frozenset({"falcon", "waitress", "typer", "rich", "runner.manager"})
ONLY_FOR_A_GATEWAY_AT_A_DISTANCE = frozenset({"httpx", "httpcore"})

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module(NamedTuple):
    name: str
    path: Path
    tree: ast.Module

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))


def read_module(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, path, ast.parse(path.read_text(encoding="utf-8"), filename=str(path)))


@functools.cache
def modules(*folders: str) -> tuple[Module, ...]:
    return tuple(read_module(path) for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))


def made_up(name: str, source: str) -> Module:
    """A module that is not on disk, to see that a rule bites."""
    return Module(name, ROOT / (name.replace(".", "/") + ".py"), ast.parse(source))


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def places(name: str) -> list[int]:
    return [row for row, patterns in enumerate(LAYERS) for pattern in patterns if fnmatchcase(name, pattern)]


# --- imports ---


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    is_package = module.path.name == "__init__.py"
    parents = module.name.split(".")
    kept = parents[: len(parents) - node.level + is_package]
    return ".".join([*kept, node.module] if node.module else kept)


def imports(module: Module) -> Iterator[tuple[str, int]]:
    """Every import with its line, wherever it stands: in a function or for the type checker alone, too."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = absolute(module, node)
            for alias in node.names:
                inside = f"{origin}.{alias.name}"
                yield (inside if is_module(inside) else origin, node.lineno)


def imports_of_ours(module: Module) -> list[tuple[str, int]]:
    return [(name, line) for name, line in imports(module) if name.split(".")[0] in ("runner", "web")]


def lines_for_the_type_checker(module: Module) -> set[int]:
    conditions = [node for node in ast.walk(module.tree) if isinstance(node, ast.If)]
    bodies = [node.body for node in conditions if ast.unparse(node.test).endswith("TYPE_CHECKING")]
    return {line for body in bodies for line in range(body[0].lineno, (body[-1].end_lineno or 0) + 1)}


def loads(module: Module) -> set[str]:
    unloaded = lines_for_the_type_checker(module)
    return {name for name, line in imports_of_ours(module) if line not in unloaded and name != module.name}


def upward_imports(module: Module) -> list[str]:
    row = max(places(module.name), default=len(LAYERS))
    return [
        f"{module}:{line} imports {name}, which lies above {module.name}"
        for name, line in imports_of_ours(module)
        if min(places(name), default=len(LAYERS)) > row
    ]


def imports_past_a_contract(module: Module) -> list[str]:
    return [
        f"{module}:{line} imports {name}; outside of {' '.join(allowed)} only its contract is known"
        for name, line in imports_of_ours(module)
        for side, allowed in SIDES.items()
        if matches(name, (side, f"{side}.*")) and not matches(module.name, allowed)
    ]


def test_every_module_of_the_runner_has_exactly_one_place() -> None:
    misplaced = {str(module): places(module.name) for module in modules("runner")}
    assert {path: rows for path, rows in misplaced.items() if len(rows) != 1} == {}, "give each one row in LAYERS"


def test_imports_point_downwards() -> None:
    assert [fault for module in modules("runner", "web") for fault in upward_imports(module)] == []


def test_no_imports_in_a_circle() -> None:
    graph = {module.name: loads(module) for module in modules("runner", "web")}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_stores_and_gateways_are_known_by_their_contract_alone() -> None:
    assert [fault for module in modules("runner", "web") for fault in imports_past_a_contract(module)] == []


def test_the_runner_knows_nothing_of_http() -> None:
    faults = [
        f"{module}:{line} imports {name}"
        for module in modules("runner")
        for name, line in imports(module)
        if name.split(".")[0] in ("web", "falcon", "waitress")
    ]
    assert faults == []


def test_the_map_of_the_house_imports_nothing() -> None:
    assert list(imports(read_module(ROOT / "runner" / "__init__.py"))) == []


def preloaded(**environment: str) -> set[str]:
    program = "import json, sys, runner.preload; print(json.dumps(sorted(sys.modules)))"
    given = {
        name: value for name, value in os.environ.items() if not name.startswith(("RUNNER_", "EVOLUTION_", "WAHA"))
    }
    how = {"cwd": ROOT, "env": given | environment, "capture_output": True, "text": True, "check": True}
    run = subprocess.run([sys.executable, "-c", program], **how)  # type: ignore[call-overload]
    return set(json.loads(run.stdout))


def test_a_job_process_loads_only_what_it_needs() -> None:
    loaded = preloaded()
    assert A_JOB_PROCESS_NEVER_LOADS.intersection(loaded) == set()
    assert ONLY_FOR_A_GATEWAY_AT_A_DISTANCE.intersection(loaded) == set()


@pytest.mark.parametrize("name", ["evolution", "waha"])
def test_what_a_gateway_at_a_distance_needs_is_loaded_once_for_all_jobs(name: str) -> None:
    loaded = preloaded(RUNNER_GATEWAY=name)
    assert loaded >= {"httpx", f"runner.gateways.{name}"}
    assert A_JOB_PROCESS_NEVER_LOADS.intersection(loaded) == set()


# --- sizes ---


def docstring(node: ast.AST) -> ast.Expr | None:
    if not isinstance(node, ast.Module | ast.ClassDef | Function) or not node.body:
        return None
    match node.body[0]:
        case ast.Expr(value=ast.Constant(value=str())) as text:
            return text
        case _:
            return None


def span(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def long_functions(module: Module) -> list[str]:
    lengths = [
        (node.name, node.lineno, span(node) - (span(text) if (text := docstring(node)) else 0))
        for node in ast.walk(module.tree)
        if isinstance(node, Function)
    ]
    return [f"{module}:{line} {name} has {length} lines" for name, line, length in lengths if length > FUNCTION_LINES]


def test_no_file_is_too_long_to_read() -> None:
    lengths = {str(module): len(module.path.read_text(encoding="utf-8").splitlines()) for module in modules(*SOURCES)}
    assert {path: length for path, length in lengths.items() if length > FILE_LINES} == {}


def test_no_function_is_too_long_to_read() -> None:
    assert [fault for module in modules(*SOURCES) for fault in long_functions(module)] == []


def test_the_tools_see_every_program_in_scripts() -> None:
    files = [path for path in (ROOT / "scripts").rglob("*") if path.is_file() and not path.suffix]
    hidden = [path.name for path in files if b"python" in path.read_bytes().split(b"\n", 1)[0]]
    assert hidden == [], "ruff, mypy and these tests see a Python program only under a name that ends in .py"


# --- words ---


def words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def is_forbidden(name: str) -> bool:
    spoken = {form for word in words(name) for form in (word, word.removesuffix("s"))}
    return name not in NAMES_OF_LIBRARIES and not WORDS_NOT_USED.isdisjoint(spoken)


def coined_name(node: ast.AST) -> str | None:
    """The name that a node brings into the world; names that are merely used belong to whoever made them."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
            return name
        case ast.arg(arg=name) | ast.alias(asname=str(name)):
            return name
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return name
        case _:
            return None


def forbidden_names(module: Module) -> list[str]:
    named = ((coined_name(node), getattr(node, "lineno", 0)) for node in ast.walk(module.tree))
    faults = [f"{module}:{line} says {name}" for name, line in named if name and is_forbidden(name)]
    return faults + [f"{module} is called {part}" for part in module.name.split(".") if is_forbidden(part)]


class WithoutProse(ast.NodeTransformer):
    """Empties docstrings, and the strings below a constant or a field that say what it is."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return ast.Expr(ast.Constant(""))
        return node


def code_without_prose(module: Module) -> str:
    a_copy = ast.parse(ast.unparse(module.tree))  # the tree itself is shared
    return ast.unparse(WithoutProse().visit(a_copy))


def messenger_words(module: Module) -> list[str]:
    if matches(module.name, KNOW_THE_MESSENGER):
        return []
    code = code_without_prose(module).lower()
    return [f"{module} says {word}" for word in MESSENGER_WORDS if word in code]


def test_the_words_of_the_house() -> None:
    assert [fault for module in modules(*SOURCES, "tests") for fault in forbidden_names(module)] == []


def test_the_runner_is_for_any_work() -> None:
    assert [fault for module in modules("runner") for fault in messenger_words(module)] == []


# --- calls ---


def origins(module: Module) -> dict[str, str]:
    """What the imported names of a module stand for: `from time import sleep as nap` makes nap time.sleep."""
    found: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def calls(module: Module, unwanted: frozenset[str]) -> list[str]:
    known = origins(module)
    faults = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            first, *rest = ast.unparse(node.func).split(".")
            called = ".".join([known.get(first, first), *rest])
            if called in unwanted:
                faults.append(f"{module}:{node.lineno} calls {called}")
    return faults


def test_nothing_read_is_ever_run_as_code() -> None:
    assert [fault for module in modules(*SOURCES) for fault in calls(module, CALLS_NOT_MADE)] == []


def test_no_test_sleeps() -> None:
    """A test waits for a condition with a limit; a job that should hang waits for what never comes."""
    assert [fault for module in modules("tests") for fault in calls(module, frozenset({"time.sleep"}))] == []


# --- the rules themselves ---


def unsafe_calls(module: Module) -> list[str]:
    return calls(module, CALLS_NOT_MADE)


@pytest.mark.parametrize(
    ("rule", "name", "source"),
    [
        (upward_imports, "runner.job", "from runner.manager import JobManager"),
        (upward_imports, "runner.job", "def f():\n    from . import web, manager\n    import web.app"),
        (upward_imports, "runner.stores.jobs", "from ..manager import JobManager"),
        (imports_past_a_contract, "runner.manager", "import runner.stores.database"),
        (imports_past_a_contract, "runner.workflows.removal", "from ..gateways import roster"),
        (long_functions, "runner.job", "def f():\n" + "    x = 1\n" * FUNCTION_LINES),
        (forbidden_names, "runner.job_utils", ""),
        (forbidden_names, "runner.job", "class HTTPHandler: ..."),
        (forbidden_names, "runner.job", "def f(base_url): ..."),
        (forbidden_names, "runner.job", "self.tasks = []"),
        (messenger_words, "runner.job", "group = '120363@G.US'"),
        (unsafe_calls, "runner.job", "from pickle import loads as read\nread(b'')"),
        (unsafe_calls, "runner.job", "eval('1')"),
    ],
)
def test_a_rule_bites(rule: Callable[[Module], list[str]], name: str, source: str) -> None:
    assert rule(made_up(name, source)) != []


@pytest.mark.parametrize(
    ("rule", "name", "source"),
    [
        (upward_imports, "runner.manager", "import runner.job, os"),
        (imports_past_a_contract, "runner.opening", "from runner.stores import database"),
        (long_functions, "runner.job", 'def f():\n    """' + "\n" * 50 + '"""\n' + "    x = 1\n" * 39),
        (forbidden_names, "web.app", "app.add_error_handler(Exception, answer)\ndatabase: BaseModel = 1"),
        (messenger_words, "runner.job", '"""WhatsApp"""\nid = 1  # WhatsApp\n"""WhatsApp\'s id"""'),
        (messenger_words, "runner.groups.members", "group = '@g.us'"),
        (unsafe_calls, "runner.job", "os.execv(path, [])\nconnection.exec_driver_sql('')"),
    ],
)
def test_a_rule_bites_nothing_else(rule: Callable[[Module], list[str]], name: str, source: str) -> None:
    assert rule(made_up(name, source)) == []
