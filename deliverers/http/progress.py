"""The progress of a request: how far it has come, when each phase ended, and the record of it for the log. No I/O."""

from __future__ import annotations

from typing import Protocol

from deliverers.exchange import (
    ExchangePolicy,
    PhaseTimes,
    WireRecord,
    head_lines,
    is_kept,
    received_answer,
    sent_request,
    shown_peer,
)
from deliverers.http.response import AnswerReader
from deliverers.http.target import HttpTarget
from deliverers.reasons import Phase

#: Characters of a query that may be a secret; a shorter one may occur in a text by chance.
_SHORTEST_QUERY = 6


class UsedConnection(Protocol):
    """The part of a connection that its progress shows."""

    reader: AnswerReader
    peer: str
    first_at: float | None


class HttpProgress:
    """How far a request has come, for a caller with a deadline of its own, and when it came there, for the log."""

    __slots__ = ("_connection", "_phase", "_reader", "_request", "_target", "_times", "body_bytes", "is_proxied")

    def __init__(self) -> None:
        self._phase = Phase.PREPARING
        self._reader: AnswerReader | None = None
        self._connection: UsedConnection | None = None
        self._target: HttpTarget | None = None
        #: The head of the request, as it was sent.
        self._request = b""
        #: When each phase ended, by the loop's clock: the start, DNS, connecting, TLS, sending.
        self._times: list[float | None] = [None] * 5
        self.body_bytes = 0
        self.is_proxied = False

    @property
    def phase(self) -> Phase:
        """Return the phase."""
        return self._phase if self.status is None else Phase.READING

    @property
    def status(self) -> int | None:
        """Return the status of the answer, once its head is there."""
        reader = self._reader
        return reader.status if reader is not None and reader.has_head else None

    def prepared(self, target: HttpTarget, request: bytes, body_bytes: int, *, is_proxied: bool) -> None:
        """Note what is to be sent."""
        self._target, self._request, self.body_bytes, self.is_proxied = target, request, body_bytes, is_proxied

    def connecting(self, now: float) -> None:
        """Note that a connection is being opened."""
        self._phase = Phase.CONNECTING
        self._times[0] = now

    def passed(self, place: int, now: float) -> None:
        """Note that a phase of connecting has ended: 1 is DNS, 2 connecting, 3 TLS."""
        self._times[place] = now

    def sent(self, connection: UsedConnection, now: float) -> None:
        """Note that the request was sent."""
        self._phase, self._reader, self._connection = Phase.WAITING, connection.reader, connection
        self._times[4] = now

    def record(
        self,
        policy: ExchangePolicy,
        answer_head: bytes,
        *,
        succeeded: bool,
        secrets: tuple[bytes, ...] = (),
        masked: frozenset[str] = frozenset(),
        url: str = "",
    ) -> WireRecord:
        """Return the record of the exchange for the attempt's log. Call it before the loop runs other tasks.

        Args:
            policy: Says whether request and answer are kept.
            answer_head: The status line and the headers of the answer; empty if there is none.
            succeeded: Whether the attempt succeeded.
            secrets: Texts that must not be in the record.
            masked: Names, in lower case, of headers whose values must not be in it.
            url: The URL to show, in place of the one that was used; then the address is not shown.
        """
        times = self._phase_times()
        target = self._target
        if target is None or not is_kept(policy, succeeded=succeeded):
            return WireRecord(times)
        # An answer may repeat the query, which often holds a token.
        if len(query := target.path.partition("?")[2]) >= _SHORTEST_QUERY:
            secrets = (query.encode(), *secrets)
        first, lines = head_lines(self._request)
        peer = self._connection.peer if self._connection is not None else ""
        shown = "" if url or self.is_proxied else shown_peer(peer, target.host)
        # Where a proxy or an endpoint of ours is, the integration's owner does not learn.
        ours = ("proxy-", "host") if url else ("proxy-",)
        lines = [line for line in lines if not line[0].lower().startswith(ours)]
        method = first.partition(" ")[0]
        request = sent_request(method, url or target.absolute, lines, self.body_bytes, shown, secrets, masked)
        if not answer_head:
            return WireRecord(times, request)
        status_line, answered = head_lines(answer_head)
        return WireRecord(times, request, received_answer(status_line, answered, secrets, masked))

    def _phase_times(self) -> PhaseTimes:
        began, resolved, connected, secured, sent = self._times
        if began is None:
            # The rule: the connection was open already.
            return PhaseTimes(first_byte=_between(sent, self._connection.first_at if self._connection else None))
        is_secure = self._target is not None and self._target.scheme == "https"
        first = self._connection.first_at if self._connection is not None else None
        return PhaseTimes(
            _between(began, resolved),
            _between(resolved, connected),
            _between(connected, secured) if is_secure else None,
            _between(sent, first),
        )


def _between(start: float | None, end: float | None) -> float | None:
    """Return the seconds between two times, to the microsecond; None if one of them is unknown."""
    if start is None or end is None:
        return None
    return round(end - start, 6) if end > start else 0.0
