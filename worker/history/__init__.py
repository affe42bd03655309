"""The history: the record in PostgreSQL of what happened. Nothing else in the project imports psycopg.

Nothing imports this package unless EDW_HISTORY_URL is set.

    database.py     connections, and the translation of psycopg's errors
    migrations.py   applies migrations/*.sql, each once
    partitions.py   one partition for each day: made ahead, dropped whole
    export/         days as files, for `edw history export`

Tables of the schema `edw`, all partitioned by `day`, a day of ledger time in UTC:

    events    by the day of acceptance: what lists of events need, and the head of each event's record
    payloads  by the day of acceptance: the JSON of events, as the ledger stored it (events/payload_codec.py)
    jobs      by the day of the event's acceptance
    logs      by the day of the attempt, with what was sent and answered
    activity  how many attempts each integration had on each day
    changes   the audit, by the day of the change
"""
