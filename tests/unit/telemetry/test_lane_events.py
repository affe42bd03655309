"""What is reported of a lane whose jobs were cut, because Redis had no memory for them."""

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from worker.ledger.fleet import CutBacklog
from worker.telemetry.lane_events import report_cut


def test_a_cut_is_logged_with_its_integration_and_counted() -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("edw_jobs_ended_total", {"reason": "ledger_overflow"}) or 0

    before = counted()
    with capture_logs() as logs:
        report_cut(CutBacklog("i-1", 200, 5_000_000, 6_000_000))
    (entry,) = logs
    assert (entry["event"], entry["log_level"], entry["integration"], entry["jobs"]) == (
        "backlog cut",
        "error",
        "i-1",
        200,
    )
    assert "EDW_BACKLOG_MEMORY" in entry["why"]
    assert counted() == before + 200
