"""The export of the history into files, one for each day and kind: `edw history export`.

    columns.py       the columns of each kind, and the rows of what PostgreSQL has
    encoders.py      rows as newline-delimited JSON or Parquet, piece by piece
    targets.py       where files go: a folder, or a bucket of S3 (s3_target.py)
    day_reader.py    reads a day of a kind by a server-side cursor
    exporter.py      which days are written, and in which order

A file is visible once it is whole. Memory is bounded: a batch of the cursor, a row group, a part of an upload.
"""
