"""The metrics of a process's calls to the ledger."""

from worker.telemetry import metrics
from worker.telemetry.newer_versions import NEWER


class LedgerCallMetrics:
    """A CallObserver of the ledger that counts the round trips of its scripts."""

    def observed(self, script: str, seconds: float) -> None:
        """Count a call that the ledger answered."""
        metrics.observe_call(script, seconds)

    def failed(self, script: str) -> None:
        """Count a call that failed."""
        metrics.LEDGER_FAILURES.labels(script).inc()

    def left_to_newer(self, count: int) -> None:
        """Report lanes and jobs that were left to processes of a newer version."""
        NEWER.left("lane", count)
