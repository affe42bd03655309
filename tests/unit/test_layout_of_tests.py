"""What holds of the tests' own code: no test module is imported, and only the ledger's tests know its keys."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.ledger import Ledger
from worker.ledger.connection.redis_client import RedisClientBase

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
#: They may know how the ledger's keys are named.
OF_THE_LEDGER = ("ledger", "integration/ledger", "integration/history", "unit/ledger")
#: What the ledger's keys begin with, behind their prefix.
KINDS = ("event", "events", "integration", "job", "jobs", "lane", "log", "logs", "owner", "scope", "token")
_KEY = re.compile(rf"(?:{'|'.join(KINDS)}):\S*")
_PREFIX = re.compile(r"\bedw:\{")
#: The attributes by which a ledger holds its connection.
CONNECTION = {
    name for name, value in vars(Ledger("redis://127.0.0.1:1/0")).items() if isinstance(value, RedisClientBase)
}


def modules() -> Iterator[Path]:
    return TESTS.rglob("*.py")


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every module that is imported, and every name of one, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield node.lineno, module
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def imported_tests(source: str) -> list[int]:
    """The lines that import a conftest, or a module of tests."""
    names = re.compile(r"(?:^|\.)tests\.(?:\w+\.)*(?:conftest|test_\w+)$|^\.+(?:\w+\.)*(?:conftest|test_\w+)$")
    return sorted({line for line, name in imports(ast.parse(source)) if names.search(name)})


def raw_keys(source: str) -> list[int]:
    """The lines that name a key of the ledger, or reach for the connection below it."""
    tree = ast.parse(source)
    found = {line for line, name in imports(tree) if name.startswith("tests.ledger.raw")}
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self")):
                continue
            case ast.Attribute(attr=name) if name in CONNECTION:
                found.add(node.lineno)
            case ast.Call(func=ast.Attribute(attr="key" | "key_score", value=ast.Name(id="scene"))):
                found.add(node.lineno)
            case ast.JoinedStr(values=[ast.Constant(value=str(start)), *_]) if _KEY.fullmatch(start):
                found.add(node.lineno)
            case ast.Constant(value=str(text)) if id(node) not in docstrings and _PREFIX.search(text):
                found.add(node.lineno)
            case ast.Call(args=[*arguments]):
                found |= {
                    each.lineno
                    for each in arguments
                    if isinstance(each, ast.Constant) and isinstance(each.value, str) and _KEY.fullmatch(each.value)
                }
            case _:
                continue
    return sorted(found)


def test_there_is_a_connection_to_look_for() -> None:
    assert CONNECTION


def test_neither_a_conftest_nor_a_module_of_tests_is_imported() -> None:
    found = [f"{path.relative_to(ROOT)}:{line}" for path in modules() for line in imported_tests(path.read_text())]
    assert found == []


def test_only_the_ledgers_own_tests_know_its_keys() -> None:
    allowed = tuple(f"{TESTS / each}/" for each in OF_THE_LEDGER)
    looked_at = [path for path in modules() if not str(path).startswith(allowed) and path != Path(__file__)]
    assert len(looked_at) > 200
    found = [f"{path.relative_to(ROOT)}:{line}" for path in looked_at for line in raw_keys(path.read_text())]
    assert found == [], "use a method of the ledger, tests.ledger.inspection or tests.ledger.surgery"


@pytest.mark.parametrize(
    "line",
    [
        "from tests.integration.api.conftest import Api",
        "from .conftest import Api",
        "from . import conftest",
        "from .test_costs import commands",
        "from tests.integration.ledger.test_costs import commands",
        "from tests.integration.ledger import test_costs",
        "import tests.conftest",
    ],
)
def test_an_import_of_tests_is_found(line: str) -> None:
    assert imported_tests(f"import os\n{line}\n") == [2]


@pytest.mark.parametrize(
    "line",
    [
        'f"lane:{lane}"',
        'f"lane:{lane}:due"',
        'f"event:{ref}:jobs"',
        'f"logs:store:{scope}"',
        'client.hgetall("scope:org-1/store-1:list")',
        'client.zcard("lane:i-1:due")',
        'await scene.key("DEL", name)',
        'x = "edw:{0}:inbox"',
        'await api.ledger.CONNECTION.run("claim")',
        "x = ledger.CONNECTION",
        "from tests.ledger import raw",
        "from tests.ledger.raw import client",
    ],
)
def test_a_key_is_found(line: str) -> None:
    line = line.replace("CONNECTION", min(CONNECTION))
    indented = f"async def test() -> None:\n    {line}\n"
    assert raw_keys(indented) == [2]


@pytest.mark.parametrize(
    "line",
    [
        '"job: it failed"',
        '"order.paid:organization"',
        'f"{name}: {value}"',
        "from tests.ledger import inspection, surgery",
        'prometheus.value("edw:events:balance")',
        'assert found["log"] == 1',
    ],
)
def test_what_is_no_key_is_let_through(line: str) -> None:
    assert raw_keys(f"{line}\n") == []
