"""Rows as newline-delimited JSON or as Parquet, in pieces that are written one after the other. No I/O."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from worker.domain.event import rfc3339
from worker.history.export.columns import COLUMNS, Column, Row

if TYPE_CHECKING:
    import pyarrow

#: Rows and bytes of one row group at most; the first limit that is reached ends it.
GROUP_ROWS = 10_000
GROUP_BYTES = 8 * 1024 * 1024


class Encoder(Protocol):
    """Encodes the rows of one file."""

    def add(self, row: Row) -> bytes:
        """Add a row; return what is to be written by now."""
        ...

    def end(self) -> bytes:
        """Return the rest of the file."""
        ...


class NdjsonEncoder:
    """One JSON object for each row. What is missing is left out, as the API does."""

    def __init__(self, kind: str) -> None:
        self._columns = COLUMNS[kind]
        self._encoder = msgspec.json.Encoder()

    def add(self, row: Row) -> bytes:
        """Return the line of a row."""
        values = {
            column.name: _json_value(column, value)
            for column, value in zip(self._columns, row, strict=True)
            if value is not None
        }
        return self._encoder.encode(values) + b"\n"

    def end(self) -> bytes:
        """Return nothing: every row is written."""
        return b""


def _json_value(column: Column, value: Any) -> Any:
    if column.type == "time":
        return rfc3339(value)
    # In JSON a line break is either escaped, or between two values.
    return msgspec.Raw(value.replace(b"\r", b" ").replace(b"\n", b" ")) if column.type == "json" else value


class ParquetEncoder:
    """Row groups, compressed by Zstandard. pyarrow is imported here, and nowhere else."""

    def __init__(self, kind: str) -> None:
        import pyarrow
        from pyarrow import parquet

        self._columns = COLUMNS[kind]
        self._arrow = pyarrow
        self._schema = _schema(pyarrow, self._columns)
        self._written = _Written()
        self._writer = parquet.ParquetWriter(
            pyarrow.PythonFile(self._written, mode="w"), self._schema, compression="zstd"
        )
        self._rows: list[Row] = []
        self._bytes = 0

    def add(self, row: Row) -> bytes:
        """Add a row; return a row group when it is full."""
        self._rows.append(row)
        self._bytes += sum(len(value) for value in row if isinstance(value, (str, bytes)))
        if len(self._rows) < GROUP_ROWS and self._bytes < GROUP_BYTES:
            return b""
        self._write()
        return self._written.take()

    def end(self) -> bytes:
        """Return the last row group, and the end of the file."""
        if self._rows:
            self._write()
        self._writer.close()
        return self._written.take()

    def _write(self) -> None:
        columns = zip(*self._rows, strict=True)
        arrays = [
            self._arrow.array([_text(each) for each in values] if column.type == "json" else values, field.type)
            for column, values, field in zip(self._columns, columns, self._schema, strict=True)
        ]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema), GROUP_ROWS)
        self._rows, self._bytes = [], 0


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


def _schema(arrow: "pyarrow", columns: Sequence[Column]) -> "pyarrow.Schema":
    types = {
        "text": arrow.string(),
        "json": arrow.string(),
        "integer": arrow.int64(),
        "number": arrow.float64(),
        "boolean": arrow.bool_(),
        "time": arrow.timestamp("ms", "UTC"),
    }
    return arrow.schema([(column.name, types[column.type]) for column in columns])


class _Written:
    """What pyarrow has written, and nobody has taken yet."""

    closed = False

    def __init__(self) -> None:
        self._content = bytearray()

    def write(self, content: Any) -> int:
        """Add some bytes; return their number."""
        self._content += content
        return len(content)

    def flush(self) -> None:
        """Do nothing: the content is taken by take()."""

    def take(self) -> bytes:
        """Return what was written since the last call."""
        taken = bytes(self._content)
        self._content.clear()
        return taken


#: The formats, by the suffix of their files.
ENCODERS: Mapping[str, Callable[[str], Encoder]] = {"parquet": ParquetEncoder, "ndjson": NdjsonEncoder}
