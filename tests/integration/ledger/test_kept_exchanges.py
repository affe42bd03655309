"""What attempts sent and got: of an integration's last failures and its last success, beside their logs."""

from dataclasses import replace

from deliverers.exchange import PhaseTimes, WireRecord, received_answer, sent_request
from tests.ledger.scene import LedgerScene, settlement
from worker.domain.claim import Claim
from worker.domain.integration_log import IntegrationLog
from worker.ledger import Verdict

KEPT = 20


def exchange(number: int) -> WireRecord:
    request = sent_request("POST", f"https://shop.example/{number}", [("a", "b")], 3, "203.0.113.1")
    return WireRecord(PhaseTimes(0.001, 0.002, None, 0.25), request, received_answer("HTTP/1.1 500 Oh", [("c", "d")]))


async def settle(scene: LedgerScene, claim: Claim, verdict: Verdict, record: WireRecord | None) -> None:
    made = settlement(claim, verdict)
    await scene.ledger.jobs.settle([replace(made, log=replace(made.log, exchange=record))])


async def read(scene: LedgerScene, lane: str = "i-1") -> dict[str, IntegrationLog]:
    page = await scene.ledger.logs.of_integration(lane, 0, 100)
    return {log.job_id: log for log in await scene.ledger.logs.with_exchanges(page.items)}


async def test_the_last_failures_and_the_last_success_are_kept(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", *(f"e-{n}" for n in range(30)))
    claims: list[Claim] = []
    verdicts = [Verdict.SUCCEEDED if n in (3, 17) else Verdict.FAILED for n in range(30)]
    for number, verdict in enumerate(verdicts):
        claims += await scene.claim("i-1", room=1)
        await settle(scene, claims[number], verdict, exchange(number))

    found = await read(scene)

    kept = {n for n, claim in enumerate(claims) if (log := found[claim.job_id]).exchange and log.exchange.request}
    failures = [n for n, verdict in enumerate(verdicts) if verdict is Verdict.FAILED]
    assert kept == {17, *failures[-KEPT:]}
    assert found[claims[29].job_id].exchange == exchange(29)
    assert all(log.exchange and log.exchange.times == exchange(0).times for log in found.values())


async def test_a_log_without_a_request_keeps_its_times_and_nothing_beside_it(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1", "e-2", "e-3")
    timed, reused, untimed = await scene.claim("i-1")
    await settle(scene, timed, Verdict.SUCCEEDED, WireRecord(PhaseTimes(0.000001, 0.5, 0.25, 1.5)))
    await settle(scene, reused, Verdict.SUCCEEDED, WireRecord(PhaseTimes(first_byte=0.5)))
    await settle(scene, untimed, Verdict.SUCCEEDED, None)

    found = await read(scene)

    assert found[timed.job_id].exchange == WireRecord(PhaseTimes(0.000001, 0.5, 0.25, 1.5))
    assert found[reused.job_id].exchange == WireRecord(PhaseTimes(first_byte=0.5))
    assert found[untimed.job_id].exchange is None
    assert not [name for name in (await scene.contents()).hashes if name.startswith("exchanges:")]


async def test_an_attempt_that_is_reported_again_has_one_exchange(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    (claim,) = await scene.claim("i-1")
    await settle(scene, claim, Verdict.FAILED, exchange(1))
    await settle(scene, claim, Verdict.SUCCEEDED, exchange(2))

    hashes = (await scene.contents()).hashes["exchanges:i-1"]

    assert set(hashes) == {f"{claim.job_id}:1", "failures", "success"}
    assert hashes["failures"].split() == []
    assert hashes["success"] == f"{claim.job_id}:1"


async def test_they_go_with_their_integration_and_with_their_logs(scene: LedgerScene) -> None:
    for lane in ("i-1", "i-2"):
        await scene.register(lane)
        await scene.owe(lane, f"of {lane}")
        (claim,) = await scene.claim(lane)
        await settle(scene, claim, Verdict.FAILED, exchange(1))
    await scene.ledger.integrations.delete("i-1")

    contents = await scene.contents()

    assert [name for name in contents.hashes if name.startswith("exchanges:")] == ["exchanges:i-2"]
    assert 0 < contents.ttls["exchanges:i-2"] <= scene.ledger.policy.log_retention
