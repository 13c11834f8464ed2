"""Binary operators: matching, the errors that protect from wrong matches, names, and scalars."""

from __future__ import annotations

import math

import pytest

from tests.monitoring.promql.samples import Cell, bare, instant, loaded, name
from watchkeeper.monitoring.labels import Labels
from watchkeeper.monitoring.promql.engine import Engine
from watchkeeper.monitoring.promql.result import EvaluationError
from watchkeeper.monitoring.samples.memory import MemoryStorage


@pytest.fixture
def storage() -> MemoryStorage:
    return loaded(
        10_000,
        {
            name("errors", service="api", code="500"): [24.0],
            name("errors", service="api", code="404"): [30.0],
            name("errors", service="web", code="500"): [3.0],
            name("requests", service="api"): [600.0],
            name("requests", service="web"): [120.0],
            name("requests", service="db"): [1.0],
            name("one", service="api"): [1.0],
            name("owner", service="api", team="red"): [1.0],
            name("owner", service="web", team="blue"): [1.0],
        },
    )


def test_one_to_one_matches_equal_label_sets_but_for_the_name(storage: MemoryStorage) -> None:
    found = instant(storage, "requests - requests", 0)
    assert found == {bare(service=service): 0.0 for service in ("api", "web", "db")}
    assert instant(storage, "errors / requests", 0) == {}


def test_ignoring_and_on_choose_what_must_agree(storage: MemoryStorage) -> None:
    expected = {bare(service="api"): 0.04, bare(service="web"): 0.025}
    assert instant(storage, 'errors{code="500"} / ignoring (code) requests', 0) == expected
    assert instant(storage, 'errors{code="500"} / on (service) requests', 0) == expected


def test_many_to_one_keeps_the_labels_of_the_many_side(storage: MemoryStorage) -> None:
    expected = {
        bare(service="api", code="500"): 0.04,
        bare(service="api", code="404"): 0.05,
        bare(service="web", code="500"): 0.025,
    }
    assert instant(storage, "errors / on (service) group_left requests", 0) == expected
    swapped = instant(storage, "requests / on (service) group_right errors", 0)
    assert swapped == {labels: 1 / value for labels, value in expected.items()}


def test_labels_of_the_one_side_can_be_taken_over(storage: MemoryStorage) -> None:
    found = instant(storage, "requests * on (service) group_left (team) owner", 0)
    assert found == {bare(service="api", team="red"): 600.0, bare(service="web", team="blue"): 120.0}
    # A label that the one side does not have is taken away.
    found = instant(storage, 'errors{service="web"} * on (service) group_left (code) requests', 0)
    assert found == {bare(service="web"): 360.0}


def test_a_comparison_filters_and_keeps_the_left_value_and_name(storage: MemoryStorage) -> None:
    assert instant(storage, "requests > 100", 0) == {
        name("requests", service="api"): 600.0,
        name("requests", service="web"): 120.0,
    }
    assert instant(storage, "100 < requests", 0) == instant(storage, "requests > 100", 0)
    assert instant(storage, "requests > bool 100", 0)[bare(service="db")] == 0.0
    assert instant(storage, "requests >= on (service) (owner * 200)", 0) == {bare(service="api"): 600.0}
    compared = instant(storage, "owner < on (service) group_right errors", 0)
    assert compared[name("errors", service="web", code="500")] == 1.0


def test_a_comparison_does_not_bring_a_dropped_name_back() -> None:
    cells: list[Cell] = [0.0, 10.0, 30.0]
    storage = loaded(10_000, {name("a_total"): cells, name("b_total"): [0.0, 1.0, 2.0]})
    assert instant(storage, "rate(a_total[30s]) > rate(b_total[30s])", 20_000).keys() == {()}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "requests / on (service) errors",
            'found duplicate series for the match group {service="api"} on the right hand-side of the '
            "operation: "
            '[{__name__="errors", code="404", service="api"}, {__name__="errors", code="500", service="api"}]'
            ";many-to-many matching not allowed: matching labels must be unique on one side",
        ),
        (
            "errors / on (service) group_right requests",
            'found duplicate series for the match group {service="api"} on the left hand-side of the '
            "operation: "
            '[{__name__="errors", code="404", service="api"}, {__name__="errors", code="500", service="api"}]'
            ";many-to-many matching not allowed: matching labels must be unique on one side",
        ),
        (
            "errors / on (service) requests",
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
        ),
        (
            "errors > on (service) requests",
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
        ),
        (
            'errors * on (service) group_left (code) label_replace(requests, "code", "same", "", "")',
            "multiple matches for labels: grouping labels must ensure unique matches",
        ),
        (
            'label_replace(requests, "service", "same", "", "")',
            "vector cannot contain metrics with the same labelset",
        ),
        ('abs({__name__=~"requests|one"})', "vector cannot contain metrics with the same labelset"),
    ],
)
def test_a_match_that_is_not_unique_is_refused(storage: MemoryStorage, query: str, message: str) -> None:
    with pytest.raises(EvaluationError) as refused:
        instant(storage, query, 0)
    assert str(refused.value) == message
    with pytest.raises(EvaluationError) as again:
        Engine(storage).range(query, 0, 20_000, 10_000)
    assert str(again.value) == message


def test_series_that_take_turns_in_a_match_group_are_one_partner() -> None:
    """As Prometheus does it, matching is per step: what is refused is two at once."""
    cells: dict[Labels, list[Cell]] = {
        name("build", version="1"): [1.0, "stale", "_"],
        name("build", version="2"): ["_", 2.0, 2.0],
        name("load"): [10.0, 10.0, 10.0],
    }
    engine = Engine(loaded(10_000, cells))
    (series,) = engine.range("load * on () build", 0, 20_000, 10_000).series
    assert series.points == [(0, 10.0), (10_000, 20.0), (20_000, 20.0)]
    series_by_version = engine.range("load * on () group_left (version) build", 0, 20_000, 10_000).series
    assert {one.labels: one.points for one in series_by_version} == {
        bare(version="1"): [(0, 10.0)],
        bare(version="2"): [(10_000, 20.0), (20_000, 20.0)],
    }
    (turned,) = engine.range("build * on () load", 0, 20_000, 10_000).series
    assert turned.points == series.points


def test_set_operators_look_at_labels_only(storage: MemoryStorage) -> None:
    services = instant(storage, "requests and on (service) errors", 0)
    assert services == {name("requests", service="api"): 600.0, name("requests", service="web"): 120.0}
    assert instant(storage, "requests unless on (service) errors", 0) == {name("requests", service="db"): 1.0}
    union = instant(storage, "owner or on (service) requests", 0)
    assert union == {
        name("owner", service="api", team="red"): 1.0,
        name("owner", service="web", team="blue"): 1.0,
        name("requests", service="db"): 1.0,
    }


def test_a_union_of_stored_and_computed_series_keeps_both(storage: MemoryStorage) -> None:
    found = instant(storage, "requests > 500 or sum by (service) (errors) or vector(7)", 0)
    assert found == {
        name("requests", service="api"): 600.0,
        bare(service="web"): 3.0,
        (): 7.0,
    }


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7.0),
        ("2 ^ 3 ^ 2", 512.0),
        ("-2 ^ 2", -4.0),
        ("7 % 3", 1.0),
        ("-7 % 3", -1.0),
        ("7.5 % -2", 1.5),
        ("1 / 0", math.inf),
        ("0 / 0", math.nan),
        ("5 % 0", math.nan),
        ("1 atan2 1", math.pi / 4),
        ("3 > bool 2", 1.0),
        ("NaN == bool NaN", 0.0),
        ("NaN != bool NaN", 1.0),
        ("+Inf - Inf", math.nan),
        ("(-1) ^ 0.5", math.nan),
        ("-(1 + 1)", -2.0),
        ("scalar(vector(4)) * pi()", 4 * math.pi),
        ("scalar(sum(requests)) / time()", math.inf),
    ],
)
def test_scalars(storage: MemoryStorage, expression: str, value: float) -> None:
    assert Engine(storage).instant(expression, 0).scalar == pytest.approx(value, nan_ok=True)


def test_a_scalar_of_none_or_several_series_is_nan(storage: MemoryStorage) -> None:
    assert math.isnan(Engine(storage).instant("scalar(nothing)", 0).scalar)
    assert math.isnan(Engine(storage).instant("scalar(requests)", 0).scalar)


def test_arithmetic_drops_the_metadata_labels_with_the_name() -> None:
    storage = loaded(10_000, {name("m", __type__="gauge", __unit__="bytes", x="1"): [4.0]})
    for query in ("m * 2", "-m", "abs(m)", "m + m"):
        assert instant(storage, query, 0).keys() == {bare(x="1")}
    assert instant(storage, "+m", 0).keys() == {name("m", __type__="gauge", __unit__="bytes", x="1")}
