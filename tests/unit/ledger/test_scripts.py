"""Lua scripts: each is put together from the parts that it needs, and from no others."""

import re
from importlib.resources import files

import pytest

from worker.ledger.connection import scripts
from worker.ledger.connection.scripts import ScriptError, assembled, needed_parts, script, with_values, without_idle

LUA = files("worker.ledger") / "lua"
SCRIPTS = sorted(each.name.removesuffix(".lua") for each in LUA.iterdir() if each.name.endswith(".lua"))
PARTS = {each.name.removesuffix(".lua"): each.read_text() for each in (LUA / "parts").iterdir()}
NAMES = {
    name: part
    for part, source in PARTS.items()
    for name in re.findall(r"^local (?:function )?(\w+)", source, re.MULTILINE)
    if part not in ("keys", "clock")
}


def words(source: str) -> set[str]:
    """The names that Lua code uses, fields and what it defines itself aside."""
    code = re.sub(r"'[^']*'", "''", re.sub(r"--.*", "", source))
    return set(re.findall(r"(?<![.\w])[A-Za-z_]\w*", code)) - set(re.findall(r"local (?:function )?(\w+)", code))


def test_parts_come_once_and_behind_those_that_they_need() -> None:
    parts = {"a": "-- needs: b, c\n", "b": "-- needs: d\n", "c": "-- needs: d\n", "d": "local d\n", "unused": ""}
    assert needed_parts("-- needs: a, d\nreturn 1\n", parts.__getitem__) == ["d", "b", "c", "a"]


def test_a_script_that_names_no_parts_needs_none() -> None:
    assert needed_parts("-- find: something\n-- needs: not on the first line\n", PARTS.__getitem__) == []


@pytest.mark.parametrize("body", ["-- needs: no_such_part\n", "-- needs:\n", "-- needs: counters, \n"])
def test_a_part_that_is_missing_is_an_error_that_names_it(body: str) -> None:
    name = "no_such_part" if "no_such_part" in body else ""
    with pytest.raises(
        ScriptError, match=rf"there is no part '{name}' for Lua scripts: lua/parts/{name}.lua was expected"
    ):
        assembled("some", body)


@pytest.mark.parametrize(
    ("parts", "cycle"),
    [
        ({"a": "-- needs: a\n"}, "a -> a"),
        ({"a": "-- needs: b\n", "b": "-- needs: c\n", "c": "-- needs: a\n"}, "a -> b -> c -> a"),
    ],
)
def test_parts_that_need_each_other_are_an_error_that_names_them(parts: dict[str, str], cycle: str) -> None:
    with pytest.raises(ScriptError, match=f"need each other: {cycle}$"):
        needed_parts("-- needs: a\n", parts.__getitem__)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_has_every_part_that_it_uses_and_none_that_it_does_not_use(name: str) -> None:
    """Redis reports a name that is not there only once the line that uses it runs."""
    body = (LUA / f"{name}.lua").read_text()
    needed = needed_parts(body, PARTS.__getitem__)
    used = {NAMES[word] for word in words(body) if word in NAMES}
    assert used <= set(needed)
    for part in needed:
        assert {NAMES[word] for word in words(PARTS[part]) if word in NAMES} <= set(needed)
        users = [each for each in needed if part in needed_parts(PARTS[each], PARTS.__getitem__)]
        assert part in used or users, f"{part} is not used"


def test_every_part_is_used_by_a_script() -> None:
    used = {part for name in SCRIPTS for part in needed_parts((LUA / f"{name}.lua").read_text(), PARTS.__getitem__)}
    assert used | {"keys", "clock"} == set(PARTS)


def test_every_function_of_a_part_is_used() -> None:
    sources = [*PARTS.values(), *((LUA / f"{name}.lua").read_text() for name in SCRIPTS)]
    for name in NAMES:
        assert sum(len(re.findall(rf"\b{name}\b", re.sub(r"--.*", "", source))) for source in sources) > 1, name


@pytest.mark.parametrize("name", SCRIPTS)
def test_redis_is_sent_the_code_alone_behind_the_shebang(name: str) -> None:
    first, *lines = script(name).source.splitlines()
    assert first in ("#!lua", "#!lua flags=allow-oom", "#!lua flags=allow-oom,no-writes")
    assert lines
    assert not [line for line in lines if not line.strip() or line.lstrip().startswith("--")]


def test_a_script_keeps_its_digest() -> None:
    before = script("settle").digest
    script.cache_clear()
    scripts._sources.cache_clear()
    assert script("settle").digest == before


def test_a_function_that_nobody_calls_is_left_out_with_those_that_only_it_calls() -> None:
    lua = """local function used(a) return a end
local function only_below(a)
  if a then
    return used(a)
  end
end
local function idle(n) return n > 0 and idle(n - 1) or only_below(n) end
local function unused() return used(1) end
return used(1)
"""
    assert without_idle(lua) == "local function used(a) return a end\nreturn used(1)\n"


def test_a_function_whose_name_is_part_of_another_name_stays() -> None:
    lua = "local function lease(job) return unlease(job), 'lease of' end\nreturn lease(1)\n"
    assert without_idle(lua) == lua


def test_constants_are_written_where_they_are_used() -> None:
    lua = "local MOST = 20\nlocal WORD = 'a'\nlocal OTHERS = { 1 }\nreturn MOST + MOST_KEPT, WORD, OTHERS\n"
    assert with_values(lua) == "local OTHERS = { 1 }\nreturn 20 + MOST_KEPT, 'a', OTHERS\n"


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_string_of_a_script_has_the_name_of_a_constant(name: str) -> None:
    """It would be replaced there too."""
    sources = [(LUA / f"{name}.lua").read_text(), *PARTS.values()]
    code = "\n".join(re.sub(r"--.*", "", source) for source in sources)
    constants = set(re.findall(r"^local ([A-Z_]+) = (?:\d+|'[^']*')$", code, re.MULTILINE))
    assert not constants & set(re.findall(r"\w+", " ".join(re.findall(r"'[^'\n]*'", code))))
