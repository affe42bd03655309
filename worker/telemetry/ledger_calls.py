"""The metrics of a process's calls to the ledger."""

from worker.telemetry import metrics


class LedgerCallMetrics:
    """Counts the round trips of scripts: a CallObserver of the ledger."""

    def observed(self, script: str, seconds: float) -> None:
        metrics.observe_call(script, seconds)

    def failed(self, script: str) -> None:
        metrics.LEDGER_FAILURES.labels(script).inc()
