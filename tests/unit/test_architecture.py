"""The architecture page says what the code is."""

import re
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "worker" / "ARCHITECTURE.md").read_text()
#: Every package may import these, so the picture leaves them out.
EVERYWHERE = {"domain", "event_loop"}
#: Modules and folders directly under worker/: a newcomer reads them at a glance.
MOST_ENTRIES = 17


def package_of(module: str) -> str:
    return module.split(".")[1]


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("worker", cache_dir=None)


def test_the_picture_has_every_import_between_packages_and_no_other(imports: grimp.ImportGraph) -> None:
    (picture,) = re.findall(r"```mermaid\ngraph TD\n(.*?)```", PAGE, re.DOTALL)
    drawn = set(re.findall(r"(\w+) --> (\w+)", picture))
    found = {
        (package_of(module), package_of(imported))
        for module in imports.modules - {"worker"}
        for imported in imports.find_modules_directly_imported_by(module)
    }
    assert drawn == {(one, other) for one, other in found if one != other and other not in EVERYWHERE}


def test_no_module_of_the_worker_imports_itself_through_others(imports: grimp.ImportGraph) -> None:
    for module in imports.modules:
        for imported in imports.find_modules_directly_imported_by(module):
            assert not imports.chain_exists(importer=imported, imported=module), f"{module} <-> {imported}"


def test_the_worker_has_few_entries() -> None:
    folder = ROOT / "worker"
    entries = [each.name for each in folder.iterdir() if each.suffix == ".py" or (each / "__init__.py").exists()]
    assert len(entries) <= MOST_ENTRIES, sorted(entries)


def test_every_package_has_a_line() -> None:
    for folder in (ROOT / "worker").iterdir():
        if (folder / "__init__.py").exists():
            assert f"| `worker/{folder.name}/` |" in PAGE


def test_every_file_of_the_change_table_exists() -> None:
    table = PAGE.partition("## Where to change what")[2].partition("## ")[0]
    named = re.findall(r"`((?:worker|deliverers|config)/[\w/.]+)`", table)
    assert len(named) >= 12
    for path in named:
        assert (ROOT / path).exists(), path
