"""What the import contracts in pyproject.toml cannot see: what core calls, and which packages it knows."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import serinus

SOURCE = Path(serinus.__file__).parent
CORE = sorted((SOURCE / "core").rglob("*.py"))
PORTS = [path for path in [SOURCE / "ports.py"] if path.exists()]

CLOCK_READS = {"now", "today", "utcnow"}
INPUT_AND_OUTPUT = {"breakpoint", "exec", "eval", "input", "open", "print", "__import__"}


def imported_packages(tree: ast.Module) -> Iterator[str]:
    """Yield the top package of each absolute import, `serinus.<module>` for our own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
            if node.module == "serinus":
                names = [f"serinus.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield ".".join(parts[:2]) if parts[0] == "serinus" else parts[0]


def dotted(function: ast.expr) -> list[str]:
    """Split what is called into its names: `np.random.default_rng` is three."""
    if isinstance(function, ast.Attribute):
        return [*dotted(function.value), function.attr]
    return [function.id] if isinstance(function, ast.Name) else [""]


def reaches_outside(call: ast.Call) -> bool:
    names = dotted(call.func)
    if len(names) == 1:
        return names[0] in INPUT_AND_OUTPUT
    return names[-1] in CLOCK_READS or "random" in names[:-1]


def outside_calls(tree: ast.Module) -> list[str]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [f"line {call.lineno}: {ast.unparse(call)}" for call in calls if reaches_outside(call)]


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(SOURCE)))
def test_core_knows_the_standard_library_numpy_and_itself(path: Path) -> None:
    packages = set(imported_packages(ast.parse(path.read_text(encoding="utf-8"))))

    assert packages <= sys.stdlib_module_names | {"numpy", "serinus.core"}


@pytest.mark.parametrize("path", PORTS, ids=lambda path: path.name)
def test_ports_know_the_standard_library_and_core(path: Path) -> None:
    packages = set(imported_packages(ast.parse(path.read_text(encoding="utf-8"))))

    assert packages <= sys.stdlib_module_names | {"serinus.core"}


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(SOURCE)))
def test_core_reads_no_clock_draws_no_number_and_does_no_io(path: Path) -> None:
    assert outside_calls(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    ["datetime.now(UTC)", "date.today()", "np.random.seed(7)", "random.random()", "open(path)", "print(1)"],
)
def test_a_call_that_reaches_outside_is_seen(source: str) -> None:
    assert outside_calls(ast.parse(source)) != []


@pytest.mark.parametrize("source", ["clock(now)", "generator.random(3)", "event.now", "np.mean(x)"])
def test_a_call_on_what_was_passed_in_is_allowed(source: str) -> None:
    assert outside_calls(ast.parse(source)) == []
