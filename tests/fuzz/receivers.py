"""What receivers, brokers and AWS answer."""

from datetime import UTC, datetime

from deliverers.answers import decompressed, kept_text, printable
from deliverers.aws_sqs.sqs_answers import Log, SqsAnswer, outcomes
from deliverers.contract import Delivered, Refused
from deliverers.http.response import MOST_INTERIM, AnswerReader, Fault
from deliverers.retry_after import LONGEST_SECONDS, parse_retry_after
from deliverers.stomp.frames import FrameReader, NotStomp
from deliverers.stomp.stomp_session import HeartBeats
from tests.fuzz.events import WORDS
from tests.fuzz.target import Target, is_brief, refusing, text_of

_NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
_KEPT = 200
_SECRET = b"topsecret"


def retry_after(raw: bytes) -> None:
    """A pause is within its bounds, or none."""
    found = parse_retry_after(text_of(raw), _NOW)
    assert found is None or 0 <= found <= LONGEST_SECONDS


def sqs(raw: bytes) -> None:
    """Whatever answers, each message has an outcome with brief words and a log without the secret."""
    head, _, body = raw.partition(b"\n")
    said = text_of(head)
    headers = {"x-amzn-query-error": said, "retry-after": said, "x-amzn-errortype": said}
    for status in (200, 400, 503):
        found = outcomes(SqsAnswer(status, headers, body), 3, Log(_KEPT, (_SECRET,)), _NOW)
        assert len(found) == 3
        for outcome in found:
            assert isinstance(outcome, Delivered | Refused)
            if isinstance(outcome, Refused):
                is_brief(outcome.reason)
                assert outcome.reason.isprintable()
            assert len((outcome.body or "").encode()) <= _KEPT
            assert _SECRET.decode() not in (outcome.body or "")


def body(raw: bytes) -> None:
    """An answer's body is inflated and kept within its limits, in any coding, and holds nothing that steers."""
    coding, _, content = raw.partition(b"\n")
    for named in (text_of(coding), "gzip", "deflate", "x-gzip"):
        assert len(decompressed(content, named, _KEPT)) <= max(_KEPT, len(content), 60)
    kept = kept_text(content, _KEPT, (_SECRET,))
    assert len(kept.encode()) <= _KEPT
    assert _SECRET.decode() not in kept
    assert not any(ord(character) < 32 and character not in "\n\r\t" for character in kept)
    assert printable(text_of(content), 50).isprintable()


def answers(raw: bytes) -> None:
    """A final status line that was read whole is never lost, and pieces change nothing."""
    read = _answered([raw])
    assert read == _answered([raw[index : index + 1] for index in range(len(raw))])
    assert read == _answered([raw[:17], raw[17:40], raw[40:]])
    status, fault = read
    assert status is not None or fault is not None
    expected = _final_status(raw)
    assert status == expected, f"{status} in place of {expected}"
    if expected is not None:
        assert fault in (None, Fault.CLOSED_IN_HEAD, Fault.CLOSED_IN_BODY)


def _answered(pieces: list[bytes]) -> tuple[int | None, Fault | None]:
    reader = AnswerReader()
    reader.begin(_KEPT)
    for piece in pieces:
        reader.feed(piece)
    reader.close()
    assert reader.done
    assert not reader.reusable
    assert len(reader.body) <= _KEPT
    retry_after((reader.header("retry-after") or "").encode("utf-8", "surrogateescape"))
    return reader.status, reader.fault


def _final_status(raw: bytes) -> int | None:
    """Return the first final status whose line is whole, found line by line."""
    for _ in range(MOST_INTERIM + 1):
        line, end, raw = raw.lstrip(b"\r\n").partition(b"\n")
        version, *words = line.removesuffix(b"\r").replace(b"\t", b" ").split(b" ")
        code = next(filter(None, words), b"")
        digits = version[5:6] + version[7:8] + code
        is_line = end and version[:5] + version[6:7] == b"HTTP/." and (len(version), len(code)) == (8, 3)
        if not is_line or not digits.isdigit() or int(code) < 100:
            return None
        if int(code) >= 200 or int(code) == 101:
            return int(code)
        while line not in (b"", b"\r"):
            line, end, raw = raw.partition(b"\n")
            if not end:
                return None
    return None


def frames(raw: bytes) -> None:
    """Frames are read or refused; in pieces the same ones are read, and what is refused may be refused later."""
    found, refusal = _read([raw])
    for pieces in ([raw[index : index + 1] for index in range(len(raw))], [raw[:7], raw[7:30], raw[30:]]):
        in_pieces, why = _read(pieces)
        assert in_pieces == found
        assert why in ("", refusal)


def _read(pieces: list[bytes]) -> tuple[list[object], str]:
    reader = FrameReader(1_024)
    found: list[object] = []
    try:
        for piece in pieces:
            if ids := reader.receipts(piece):
                found += [("RECEIPT", {"receipt-id": each}, b"") for each in ids]
                continue
            for frame in reader.feed(piece):
                # One by one: what came before a refusal was read.
                found.append((frame.command, dict(frame.headers), frame.body))
    except NotStomp as error:
        is_brief(str(error))
        return found, str(error)
    return found, ""


def heart_beats(raw: bytes) -> None:
    """Intervals are agreed on, or refused."""
    with refusing(NotStomp):
        agreed = HeartBeats.agreed(text_of(raw))
        assert agreed.ours > 0 < agreed.theirs


_BATCH = b'\n{"Successful":[{"Id":"0","MessageId":"a","SequenceNumber":"1"}],"Failed":[{"Id":"1","Code":"Throttling"}]}'
_ERROR = (
    b'AWS.SimpleQueueService.NonExistentQueue;Sender\n{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no"}'
)
_XML = b"\n<ErrorResponse><Error><Code>InvalidParameterValue</Code><Message>must be shorter than 1 bytes</Message>"
_SQS_WORDS = (
    *(
        b'"Successful":',
        b'"Failed":',
        b'"Id":"2"',
        b'"Code":',
        b'"Message":',
        b"<Code>",
        b"</Code>",
        b"<Message>",
        b"&#",
    ),
    *(
        b"&#x110000;",
        b"9" * 400,
        b"topsecret",
        b"Credential=",
        b"AKIAABCDEFGHIJ",
        b"perform: sqs:",
        b"perform" + b" " * 40,
    ),
    *(
        b"The String-to-Sign",
        b"AccessDenied",
        b"#",
        b"InvalidParameterValue",
        b"must be shorter than ",
        b" bytes",
        b"\n",
    ),
)
_DATES = (
    *(
        b"Sun, ",
        b"06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94",
        b"Nov",
        b"24:60:60",
        b" ",
        b"+9999",
        b"-",
        b"1" * 13,
    ),
    *(b"\t", "²".encode(), "٣".encode(), b"\xff", b"(", b")", b",", b"99999", b"0000", b"1e9", b"inf", b"AM", b"\0"),
)
_FRAMES = (
    b"RECEIPT\nreceipt-id:1\n\n\0",
    b"ERROR\nmessage:no\\n\ncontent-length:3\n\nab\0\0",
    b"\n\r\nCONNECTED\r\nversion:1.2\r\n\r\n\0",
)
_FRAME_WORDS = (
    *(
        b"RECEIPT",
        b"ERROR",
        b"CONNECTED",
        b"MESSAGE",
        b"\n",
        b"\r\n",
        b"\0",
        b"\n\n",
        b":",
        b"\\",
        b"\\c",
        b"\\q",
        b"\r",
    ),
    *(
        b"content-length:",
        b"999999999",
        b"9" * 40,
        b"-1",
        b"\xff",
        b"receipt-id:",
        "٣".encode(),
        b"\x15\x03",
        b"a" * 300,
    ),
)

_ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 503 Unavailable\r\nRetry-After: 60\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2;a=b\r\nno\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.0 204 No Content\r\n\r\n",
    b"HTTP/1.1 410\r\nConnection: close\r\n\r\nbye",
)
_ANSWER_WORDS = (
    *(b"HTTP/1.1 ", b"HTTP/1.0 204", b"HTTP/3.0 ", b"200", b" OK", b"100 Continue", b"101", b"099", b"1000", b"304"),
    *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b" ", b"\t", b":", b" : ", b"\0", b"\xff", b";", b"0\r\n\r\n"),
    *(b"Content-Length: 2\r\n", b"Content-Length: 2, 2\r\n", b"Content-Length: -1\r\n", b"Content-Length: 99999\r\n"),
    *(
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"transfer-encoding:chunked, x\r\n",
        b"fffff\r\n",
    ),
    *(
        b"Retry-After: 60\r\n",
        b"Retry-After : 60\r\n",
        b"Connection: close\r\n",
        b"Connection: upgrade\r\nUpgrade: x\r\n",
    ),
    *(
        b"X: " + b"y" * 300,
        b"RTSP/1.0 200 OK\r\n",
        b"ICE/1.0 200 OK\r\n",
        b"HTTP/1.1 100 C\r\n\r\n" * 17,
        b" folded\r\n",
    ),
)

TARGETS = (
    Target("http-answer", answers, _ANSWER_WORDS, _ANSWERS),
    Target("retry-after", retry_after, _DATES, (b"120", b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994")),
    Target("sqs-answer", sqs, (*_SQS_WORDS, *WORDS), (_BATCH, _ERROR, _XML)),
    Target(
        "answer-body",
        body,
        (b"\n", b"\x1f\x8b\x08", b"x\x9c", *_SQS_WORDS, b"\x1b[31m"),
        (_BATCH, b"gzip\n\x1f\x8b\x08"),
    ),
    Target("stomp-frames", frames, _FRAME_WORDS, _FRAMES),
    Target(
        "heart-beats", heart_beats, (b",", b"0", b"10000", b"9" * 19, b"-", "٣".encode(), b" ", b"."), (b"10000,10000",)
    ),
)
