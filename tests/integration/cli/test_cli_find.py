"""`edw find`: one command explains an order, in one screen."""

import pytest

from tests.fleet.edw_command import Edw

URL = ("--url", "https://shop.example/hook")


@pytest.mark.usefixtures("redis_url")
def test_it_says_for_each_integration_why_it_has_not_got_the_order(edw: Edw) -> None:
    for name, key in (("ERP", "order.paid"), ("Mail", "customer.created")):
        assert edw("integrations", "create", "--name", name, "--observes", key, *URL).code == 0
    assert edw("emit", "order.paid", "--id", "e-1", "--data", "-", stdin=b'{"type":"order","id":"123"}').code == 0

    found = edw("find", "order", "123")

    assert found.code == 0, found.text
    assert "order.paid" in found.out.splitlines()[0]
    assert "ERP not sent: the event waits to be observed by a worker" in found.text
    assert "Mail not sent: does not observe order.paid" in found.text
    assert all(len(line) <= 100 for line in found.out.splitlines())
    (event,) = edw("find", "order", "123", "--json").json["data"]
    assert {each["integration_name"] for each in event["not_delivered_to"]} == {"ERP", "Mail"}
    for nothing in (edw("find", "order", "124"), edw("find", "order", "123", "--store", "other")):
        assert (nothing.code, "is kept" in nothing.text) == (1, True)


@pytest.mark.usefixtures("redis_url")
def test_all_events_of_an_order_are_erased(edw: Edw) -> None:
    for event, order in (("e-1", "123"), ("e-2", "124"), ("e-3", "123")):
        data = b'{"type":"order","id":"%s"}' % order.encode()
        assert edw("emit", "order.paid", "--id", event, "--data", "-", stdin=data).code == 0
    assert edw("events", "erase", "--resource", "order", "125").code == 1
    assert edw("events", "erase").code == 2

    erased = edw("events", "erase", "--resource", "order", "123", "--json").json["erased"]

    assert sorted(erased) == ["e-1", "e-3"]
    assert edw("find", "order", "123").code == 1
    assert edw("find", "order", "124").code == 0
    assert {each["action"] for each in edw("audit", "--json").json["data"]} == {"event.erased"}
    assert edw("events", "erase", "e-2").text == "erased 1 event"


@pytest.mark.usefixtures("redis_url")
def test_a_filter_is_given_tried_and_removed(edw: Edw) -> None:
    create = ("integrations", "create", "--name", "Large", "--observes", "order.paid", *URL)
    refused = edw(*create, "--filter", '{"data": {"total": {"$atleast": 1}}}')
    assert (refused.code, "filter.data.total.$atleast: is not an operator" in refused.text) == (1, True)
    assert "--filter: is not JSON" in edw(*create, "--filter", "{").text
    made = edw(*create, "--filter", '{"data": {"total": {"$gte": 100}}}', "--json").json["data"]
    data = b'{"type":"order","id":"123","total":99}'
    assert edw("emit", "order.paid", "--id", "e-1", "--data", "-", stdin=data).code == 0

    tried = edw("integrations", "try-filter", made["id"], "--event", "e-1")
    other = edw("integrations", "try-filter", made["id"], "--data", "-", "--filter", "null", "--json", stdin=data)

    words = "The event does not match: /data/total/$gte expects at least 100; the event has 99."
    assert (tried.code, tried.text) == (1, words)
    assert (other.code, other.json["data"]["matches"]) == (0, True)
    assert "filter" in edw("integrations", "show", made["id"]).text
    assert "filter" not in edw("integrations", "update", made["id"], "--filter", "null", "--json").json["data"]
