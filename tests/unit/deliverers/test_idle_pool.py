"""Which idle connection carries the next request, and which are closed."""

from __future__ import annotations

from dataclasses import dataclass

from deliverers.http.idle_pool import IdlePool


@dataclass(eq=False)
class Line:
    fit: bool = True
    closed: bool = False

    def is_fit(self) -> bool:
        return self.fit

    def close(self) -> None:
        self.closed = True


def test_a_connection_is_taken_by_its_key_alone_and_only_once() -> None:
    pool: IdlePool[Line] = IdlePool(4.0)
    line = Line()
    pool.give(("store 1", "shop"), line, 0.0)
    assert pool.take(("store 2", "shop"), 1.0) is None
    assert pool.take(("store 1", "shop"), 1.0) is line
    assert pool.take(("store 1", "shop"), 1.0) is None
    assert len(pool) == 0


def test_the_one_used_last_is_taken_first_and_unfit_ones_are_closed() -> None:
    pool: IdlePool[Line] = IdlePool(4.0)
    first, second, third = Line(), Line(), Line(fit=False)
    for now, line in enumerate((first, second, third)):
        pool.give("key", line, float(now))
    assert pool.take("key", 3.0) is second
    assert (first.closed, second.closed, third.closed) == (False, False, True)


def test_a_connection_that_was_idle_for_too_long_is_not_taken() -> None:
    pool: IdlePool[Line] = IdlePool(4.0)
    old = Line()
    pool.give("key", old, 0.0)
    assert pool.take("key", 4.0) is None
    assert old.closed


def test_old_connections_are_closed_and_the_next_look_is_when_another_is_due() -> None:
    pool: IdlePool[Line] = IdlePool(4.0)
    lines = [Line() for _ in range(3)]
    for now, (key, line) in enumerate(zip("aab", lines, strict=True)):
        pool.give(key, line, float(now))
    assert pool.expire(3.0) == 4.0
    assert pool.expire(4.5) == 5.0
    assert [line.closed for line in lines] == [True, False, False]
    assert pool.expire(9.0) is None
    assert all(line.closed for line in lines)
    assert len(pool) == 0


def test_a_lost_connection_is_forgotten() -> None:
    pool: IdlePool[Line] = IdlePool(4.0)
    lost, other = Line(), Line()
    pool.give("key", other, 0.0)
    pool.give("key", lost, 0.0)
    pool.drop("key", lost)
    pool.drop("key", lost)
    pool.drop("nobody", lost)
    assert pool.take("key", 1.0) is other


def test_closing_closes_all() -> None:
    pool: IdlePool[Line] = IdlePool(4.0)
    lines = [Line(), Line()]
    for key, line in zip("ab", lines, strict=True):
        pool.give(key, line, 0.0)
    pool.close()
    assert all(line.closed for line in lines)
    assert pool.expire(0.0) is None
