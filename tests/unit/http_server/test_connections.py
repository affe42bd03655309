"""Which connection gives way to a new one, and when one is closed."""

from dataclasses import dataclass, field

import pytest

from worker.http_server.connections import Connections, Limit, Patience


@dataclass(eq=False)
class Line:
    """A connection that does nothing."""

    network: str = "192.0.2.1"
    ready: Patience = Patience.WAITING
    late: Limit | None = None
    cuts: list[Limit] = field(default_factory=list)

    def patience(self) -> Patience:
        return self.ready

    def cut(self, limit: Limit) -> None:
        self.cuts.append(limit)

    def overdue(self, now: float) -> Limit | None:
        return self.late


def filled(*lines: Line) -> Connections:
    connections = Connections(len(lines))
    for line in lines:
        assert connections.add(line)
    return connections


def test_below_the_cap_nobody_gives_way() -> None:
    lines = [Line(), Line()]
    assert len(filled(*lines)) == 2
    assert not any(line.cuts for line in lines)


def test_the_oldest_that_waits_gives_way() -> None:
    working, oldest, newer = Line(ready=Patience.WORKING), Line(), Line()
    connections = filled(working, oldest, newer)

    assert connections.add(Line())

    assert (working.cuts, oldest.cuts, newer.cuts) == ([], [Limit.CONNECTIONS], [])
    assert len(connections) == 3


def test_an_upload_gives_way_where_nobody_else_does_and_work_never() -> None:
    working, upload, waiting = Line(ready=Patience.WORKING), Line(ready=Patience.UPLOADING), Line()
    connections = filled(working, upload, waiting)

    assert connections.add(Line(ready=Patience.WORKING))
    assert (upload.cuts, waiting.cuts) == ([], [Limit.CONNECTIONS])
    assert connections.add(Line(ready=Patience.WORKING))
    assert upload.cuts == [Limit.CONNECTIONS]
    assert not connections.add(Line())
    assert working.cuts == []
    assert len(connections) == 3


def test_the_client_with_the_most_connections_gives_way() -> None:
    probe, crowd = Line("192.0.2.9"), [Line() for _ in range(3)]
    connections = filled(probe, *crowd)

    for _ in range(50):
        assert connections.add(Line())

    assert probe.cuts == []


def test_another_client_gives_way_where_the_largest_only_works() -> None:
    crowd, other = [Line(ready=Patience.WORKING) for _ in range(3)], Line("192.0.2.9")
    connections = filled(*crowd, other)

    assert connections.add(Line())

    assert other.cuts == [Limit.CONNECTIONS]


def test_one_that_is_gone_leaves_its_place() -> None:
    line = Line()
    connections = filled(line)
    connections.remove(line)
    connections.remove(line)

    assert (len(connections), list(connections)) == (0, [])
    assert connections.add(Line())


@pytest.mark.parametrize("limit", list(Limit))
def test_one_whose_client_takes_too_long_is_closed_and_counted(limit: Limit) -> None:
    late, other = Line(late=limit), Line()
    connections = filled(late, other)

    connections.close_overdue(0.0)
    connections.count_cut(limit)

    assert (late.cuts, other.cuts, list(connections)) == ([limit], [], [other])
    assert connections.take_cut() == {limit: 1}
    assert connections.take_cut() == {}
