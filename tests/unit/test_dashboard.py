"""The dashboard is whole: every panel says what it shows, and none lies on another."""

import json

import pytest

from tests.dashboard.panels import DASHBOARD, Panel, panels

PANELS = [panel for panel in panels() if panel.kind != "row"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_a_panel_says_what_it_shows_and_in_which_unit(panel: Panel) -> None:
    assert panel.description.endswith(".")
    assert panel.unit in ("ops", "s", "short", "percentunit", "bytes")
    assert panel.queries
    for query in panel.queries:
        # A window that Grafana does not choose would be wrong at another zoom.
        assert "[5m]" not in query.expression


def test_no_panel_lies_on_another_or_leaves_the_grid() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel.place
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel.title
        assert max(x for x, _ in cells) < 24, panel.title
        taken |= cells


def test_titles_are_names() -> None:
    titles = [panel.title for panel in panels()]
    assert len(set(titles)) == len(titles)


def test_every_query_goes_to_the_data_source_that_is_chosen() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert [each["name"] for each in dashboard["templating"]["list"]] == ["datasource"]
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
