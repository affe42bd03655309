"""Handler of trials of filters."""

from worker.api.api_errors import invalid
from worker.api.request_context import DOCUMENT_BYTES, Reply, RequestContext
from worker.api.schemas import FilterTrial, Single, UnmetCondition
from worker.integrations.filter_trial import FilterTrials, TriedFilter


async def try_filter(call: RequestContext) -> Reply:
    """Say whether an event matches the integration's filter, or another one, and which condition it does not meet."""
    integration = await call.integration()
    rules = call.services.rules
    given = await call.options(
        "an event_id, or the type and the data of a sample event", rules.max_bytes + DOCUMENT_BYTES
    )
    tried = await FilterTrials(call.services.ledger, rules).run(integration, given)
    if isinstance(tried, list):
        raise invalid(tried)
    return Reply(Single(trial_document(tried)))


def trial_document(tried: TriedFilter) -> FilterTrial:
    """Return a trial as the API shows it."""
    if tried.unmet is None:
        return FilterTrial(matches=True, observed=tried.observed)
    condition = UnmetCondition(tried.unmet.pointer, tried.unmet.expected, tried.unmet.found)
    return FilterTrial(matches=False, observed=tried.observed, condition=condition)
