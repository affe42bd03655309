"""Packages that look absent for a while, to one thread."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import pytest

from config.lean_imports import absent

NAME = "edw_probe"


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "__init__.py").touch()
    (tmp_path / NAME / "inner.py").touch()
    (tmp_path / f"{NAME}_too.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [each for each in sys.modules if each.startswith(NAME)]:
        del sys.modules[name]


def test_they_are_not_found_in_the_block_and_found_behind_it() -> None:
    with absent(NAME):
        for name in (NAME, f"{NAME}.inner"):
            with pytest.raises(ModuleNotFoundError, match=NAME):
                import_module(name)
        import_module(f"{NAME}_too")

    import_module(f"{NAME}.inner")


def test_another_threads_imports_find_them() -> None:
    with absent(NAME), ThreadPoolExecutor(1) as others:
        assert others.submit(import_module, NAME).result().__name__ == NAME


def test_what_is_loaded_stays() -> None:
    loaded = import_module(NAME)
    with absent(NAME):
        assert import_module(NAME) is loaded


def test_an_error_in_the_block_ends_it_too() -> None:
    with pytest.raises(RuntimeError), absent(NAME):
        raise RuntimeError
    import_module(NAME)
