"""Find tests that judge by a clock: an assertion about elapsed time, or a sleep.

A busy machine is slow, and says nothing about the code. A test awaits an event, counts, or patches the clock. A turn
of the loop, `sleep(0)`, is no sleep. What `ALLOWED` names has a reason.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLOCKS = frozenset({"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "thread_time"})
#: Functions of `time` and of a loop whose names are too short to stand alone.
_QUALIFIED = frozenset({("time", "time"), ("time", "time_ns"), ("loop", "time")})
#: Measurements, which nobody runs to learn whether the code is right, and the chaos that `make chaos` makes.
MEASURING = ("tests/benchmarks/", "tests/chaos/", "tests/dashboard/", "tests/linear/")

_LOOKS = "looks again at a condition that nothing signals, and fails with what was awaited"
_PACE = "the pace of a caller, a receiver or a producer, and no wait of the test"
#: Functions that may use a clock, each with its reason.
ALLOWED: Mapping[str, str] = {
    "tests/contract/receivers.py::script": _PACE,
    "tests/contract/test_http_sender.py::serve": _PACE,
    "tests/contract/test_http_sender.py::test_what_a_new_connection_sends_unasked_answers_nothing": "a deadline",
    "tests/contract/test_stomp_hostile.py::confirm": _PACE,
    "tests/contract/test_stomp_hostile.py::script": _PACE,
    "tests/contract/test_stomp_hostile.py::slow": _PACE,
    "tests/counterparts/freezing.py::_await_stopped": _LOOKS,
    "tests/counterparts/freezing.py::await_group_ended": _LOOKS,
    "tests/counterparts/postgres.py::kill": _LOOKS,
    "tests/counterparts/rabbitmq.py::_ended": _LOOKS,
    "tests/counterparts/server.py::start": _LOOKS,
    "tests/fleet/outages.py::check": "a share of a processor; time that a process waits for one only lowers it",
    "tests/fleet/outages.py::lasts": "how long an outage lasts is what the test is given",
    "tests/fleet/webhook_receiver.py::handle": _PACE,
    "tests/integration/api/test_slow_callers.py::send_until_closed": _PACE,
    "tests/integration/ledger/test_redis_client.py"
    "::test_connections_that_are_reset_are_unavailable_on_the_loop_that_workers_have": "the pace of resets",
    "tests/integration/process/test_hostile_callers.py::call": _PACE,
    "tests/integration/process/test_lane_policies.py"
    "::test_a_paused_integration_gets_all_that_it_observed_when_it_is_resumed_at_its_rate": "at least as long as "
    "the rate takes; a slow machine only takes longer",
    "tests/integration/process/test_memory_limit.py"
    "::test_refuses_new_events_and_goes_on_delivering_what_is_owed": "tries a second: a slow machine makes fewer",
    "tests/integration/process/test_outages.py::_offered_until_taken": _PACE,
    "tests/integration/process/test_outages.py::_publish_until": _PACE,
    "tests/integration/process/test_prometheus.py::loaded": _PACE,
    "tests/integration/process/test_rabbitmq.py"
    "::test_over_tls_it_may_be_restarted_under_load_and_everything_arrives_once": _PACE,
    "tests/integration/process/test_rolling_restart.py::publish_until": _PACE,
    "tests/integration/process/test_two_builds.py::publish_until": _PACE,
    "tests/waiting.py::eventually": _LOOKS,
    "tests/waiting.py::wait_until": _LOOKS,
}

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def problems(source: str) -> Iterator[tuple[str, int]]:
    """Yield the innermost function and the line of each assertion about a clock, and of each sleep."""
    tree = ast.parse(source)
    for function in ast.walk(tree):
        if isinstance(function, _Function):
            own = list(_own(function))
            names = _names_of_clocks(own)
            for node in own:
                if isinstance(node, ast.Assert | ast.Call) and _is_problem(node, names):
                    yield function.name, node.lineno


def found(root: Path, allowed: Mapping[str, str]) -> tuple[list[str], set[str]]:
    """Return the problems of all tests that are not allowed, and the names of `allowed` that nothing needs."""
    unused, lines = set(allowed), []
    for path in sorted([*(root / "tests").rglob("*.py"), root / "deliverers/testing.py"]):
        place = path.relative_to(root).as_posix()
        if place.startswith(MEASURING):
            continue
        for function, line in problems(path.read_text()):
            name = f"{place}::{function}"
            unused.discard(name)
            if name not in allowed:
                lines.append(f"{place}:{line} in {function}")
    return lines, unused


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function without those of the functions in it; lambdas are its own."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, _Function):
            yield child
            yield from _own(child)


def _names_of_clocks(nodes: list[ast.AST]) -> frozenset[str]:
    """Return the names that are assigned from a clock, directly or through another such name."""
    names: frozenset[str] = frozenset()
    while True:
        more = names
        for node in nodes:
            if isinstance(node, ast.Assign) and _reads_clock(node.value, names):
                targets = [each for target in node.targets for each in ast.walk(target)]
                more |= {each.id for each in targets if isinstance(each, ast.Name)}
        if more == names:
            return names
        names = more


def _is_problem(node: ast.AST, names: frozenset[str]) -> bool:
    match node:
        case ast.Assert(test=test):
            return _reads_clock(test, names)
        case ast.Call(func=ast.Name(id="sleep") | ast.Attribute(attr="sleep"), args=[ast.Constant(value=0)]):
            return False
        case ast.Call(func=ast.Name(id="sleep") | ast.Attribute(attr="sleep")):
            return True
    return False


def _reads_clock(expression: ast.AST, names: frozenset[str]) -> bool:
    return any(_is_clock(node) or (isinstance(node, ast.Name) and node.id in names) for node in ast.walk(expression))


def _is_clock(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id=name)):
            return name in CLOCKS
        case ast.Call(func=ast.Attribute(attr=name, value=ast.Name(id=owner))):
            return name in CLOCKS or (owner, name) in _QUALIFIED
        case ast.Call(func=ast.Attribute(attr="time", value=ast.Call(func=ast.Attribute(attr="get_running_loop")))):
            return True
    return False
