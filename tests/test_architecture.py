"""The house rules of ARCHITECTURE.md, read from the syntax of every file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted([*ROOT.glob("monitor/**/*.py"), *ROOT.glob("simulators/**/*.py")])

# Longest prefix wins. A module may import from layers below its own, and from its own.
LAYERS = {
    "monitor": 0,
    "monitor.types": 0,
    "monitor.errors": 0,
    "monitor.view": 0,
    "monitor.compiled": 0,
    "monitor.testing": 0,
    "monitor.journal": 0,
    "monitor.arrays": 1,
    "monitor.tail": 1,
    "monitor.detect": 1,
    "monitor.features": 1,
    "monitor.notation": 1,
    "monitor.settings": 1,
    "monitor.windowing": 1,
    "monitor.allocator": 0,
    "monitor.protocols": 0,
    "monitor.alerting": 1,
    "monitor.guarding": 1,
    "monitor.connections": 1,
    "monitor.section": 1,
    "monitor.serving": 1,
    "monitor.passwords": 1,
    "monitor.substitution": 1,
    "monitor.yaml_reader": 1,
    "monitor.config": 1,
    "monitor.timing": 1,
    "monitor.pictures": 1,
    "monitor.stream": 1,
    "monitor.model": 2,
    "monitor.recipe": 2,
    "monitor.connect": 2,
    "simulators": 2,
    "monitor.runner": 3,
    "monitor.custody": 3,
    "monitor.serve": 3,
    "monitor.wiring": 4,
    "monitor.process": 4,
    "monitor.offline": 5,
    "monitor.cli": 6,
    "monitor.__main__": 6,
    "simulators.__main__": 6,
    "simulators.cli": 6,
}

# What else a package may not import, beyond its layer.
FORBIDDEN = {
    "monitor.stream": ("monitor.detect", "monitor.connect", "monitor.serve"),
    "monitor.detect": ("monitor.stream", "monitor.connect", "monitor.settings", "monitor.config"),
    "monitor.connect": ("monitor.serve", "monitor.runner"),
    "monitor.serve": ("monitor.connect", "monitor.detect", "monitor.runner", "monitor.model"),
    "monitor.runner": ("monitor.connect", "monitor.detect", "monitor.serve", "monitor.model"),
    "monitor.custody": ("monitor.connect", "monitor.detect", "monitor.serve", "monitor.model"),
}

# Who alone may import a library or package.
ALONE = {
    "torch": ("monitor.detect", "monitor.offline.bench"),
    "onnx": ("monitor.detect", "monitor.offline.bench"),
    "onnxruntime": ("monitor.detect", "monitor.offline.bench"),
    "onnxscript": ("monitor.detect", "monitor.offline.bench"),
    "kafka": ("monitor.connect.kafka", "monitor.offline.bench"),
    "prometheus_client": ("monitor.serve", "monitor.offline.bench"),
    "fastapi": ("monitor.serve",),
    "uvicorn": ("monitor.serve",),
    "river": ("monitor.detect", "monitor.offline.bench"),
    "yaml": ("monitor.yaml_reader", "monitor.offline", "monitor.cli"),
    "simulators": (
        "simulators",
        "monitor.offline.bench",
        "monitor.offline.demo",
        "monitor.offline.demo_scene",
        "monitor.offline.demo_summary",
        "monitor.offline.reproduce",
    ),
}

NEVER = {"pickle", "shelve", "marshal", "dill", "joblib", "cloudpickle"}
NAMES = {"utils", "util", "common", "helpers", "base", "manager", "factory", "misc"}
IMPURE = {"time.time", "time.monotonic", "random", "os.environ", "open", "datetime.now", "print"}

# An import inside a function is allowed where it keeps something heavy or optional out of the way.
LAZY = (
    "monitor.cli",
    "monitor.offline.reproduce.commands",
    "monitor.detect",
    "monitor.__main__",
    "simulators.cli",
    "simulators.__main__",
)

LONGEST_FILE, LONGEST_FUNCTION, MOST_PARAMETERS = 400, 60, 6
# Compiled kernels, which take their arrays one by one: a struct would be made for every call.
MANY_PARAMETERS = {"_push_column", "_make_room", "_write", "_close", "_fill", "_step"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def layer_of(module: str) -> int:
    known = [package for package in LAYERS if within(module, package)]
    return LAYERS[max(known, key=len)]


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere in a tree, deferred imports too; not for the name of
    an error alone.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            used = [alias.name for alias in node.names if not alias.name.endswith("Error")]
            yield from (resolved(node.module, name) for name in used)


def resolved(module: str, name: str) -> str:
    """`from package import module` imports a module; other names belong to their module."""
    whole = f"{module}.{name}"
    path = ROOT.joinpath(*whole.split("."))
    return whole if path.with_suffix(".py").exists() or path.is_dir() else module


def ours(tree: ast.AST) -> set[str]:
    return {m for m in imports_of(tree) if m.partition(".")[0] in ("monitor", "simulators")}


def functions(tree: ast.AST) -> Iterator[Function]:
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def parameters(function: Function) -> int:
    """How many a caller passes by position or by name, `self` not counted."""
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    return len([name for name in names if name not in ("self", "cls")])


def is_command(function: Function) -> bool:
    """A command's parameters are the options of the command line."""
    return any(".command" in ast.unparse(decorator) for decorator in function.decorator_list)


each_file = pytest.mark.parametrize("path", FILES, ids=name_of)


@each_file
def test_imports_point_down(path: Path) -> None:
    module = name_of(path)
    wrong = [other for other in ours(tree_of(path)) if layer_of(other) > layer_of(module)]
    assert not wrong, f"{module} is in layer {layer_of(module)} and imports {wrong} from above"


@each_file
def test_walls_between_packages_hold(path: Path) -> None:
    module = name_of(path)
    found = ours(tree_of(path))
    for package, forbidden in FORBIDDEN.items():
        if within(module, package):
            wrong = [other for other in found for wall in forbidden if within(other, wall)]
            assert not wrong, f"{module} may not import {wrong}"


@each_file
def test_libraries_stay_behind_their_walls(path: Path) -> None:
    module = name_of(path)
    for name in imports_of(tree_of(path)):
        library = name.partition(".")[0]
        allowed = ALONE.get(library)
        fine = allowed is None or any(within(module, package) for package in allowed)
        assert fine, f"{module} imports {library}; only {allowed} may"
        assert library not in NEVER, f"{module} imports {library}"


@each_file
def test_imports_stand_at_the_top(path: Path) -> None:
    module = name_of(path)
    if module.startswith(LAZY):
        return
    for function in functions(tree_of(path)):
        inner = list(imports_of(function))
        assert not inner, f"{module}.{function.name} imports {inner} inside the function"


@each_file
def test_files_and_functions_are_short_and_take_few_parameters(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE, f"{path.name} is too long"
    for function in functions(tree_of(path)):
        lines = (function.end_lineno or 0) - function.lineno + 1
        assert lines <= LONGEST_FUNCTION, f"{path.name}: {function.name} has {lines} lines"
        if is_command(function) or function.name in MANY_PARAMETERS:
            continue
        count = parameters(function)
        assert count <= MOST_PARAMETERS, f"{path.name}: {function.name} takes {count} parameters"


@each_file
def test_nothing_runs_code_from_data(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called == "torch.load" and "weights_only=True" in map(ast.unparse, node.keywords):
                continue  # tensors alone: anything else in the file is refused
            assert called not in ("eval", "exec", "yaml.load", "torch.load"), f"{path}: {called}"


@each_file
def test_what_catches_everything_is_the_command_line_alone(path: Path) -> None:
    if name_of(path) in ("monitor.cli", "simulators.cli", "simulators.__main__"):
        return
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            assert caught not in ("Exception", "BaseException", "everything"), f"{path}: {caught}"


@each_file
def test_modules_are_called_by_what_they_hold(path: Path) -> None:
    assert not NAMES & set(name_of(path).split("."))


@pytest.mark.parametrize(
    "path", [p for p in FILES if within(name_of(p), "monitor.stream")], ids=name_of
)
def test_the_stream_path_is_pure(path: Path) -> None:
    used = {
        ast.unparse(node)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Name | ast.Attribute)
    }
    assert not used & IMPURE
    assert "random" not in {name.partition(".")[0] for name in imports_of(tree_of(path))}


def test_no_module_imports_itself_through_others() -> None:
    edges = {name_of(path): ours(tree_of(path)) - {name_of(path)} for path in FILES}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail[trail.index(module) :], module))
        if module not in done:
            for other in edges.get(module, set()):
                visit(other, (*trail, module))
            done.add(module)

    for module in edges:
        visit(module, ())


def test_every_module_has_a_layer_and_says_what_it_is_for() -> None:
    for path in FILES:
        assert layer_of(name_of(path)) >= 0
        assert ast.get_docstring(tree_of(path)), f"{path} has no docstring"


def test_the_exceptions_are_still_needed() -> None:
    found = (function for path in FILES for function in functions(tree_of(path)))
    assert {f.name for f in found if parameters(f) > MOST_PARAMETERS} >= MANY_PARAMETERS
