"""Column types: what goes in comes out."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert, select
from sqlalchemy.exc import StatementError

from watchkeeper.store.types import CanonicalJson, SampleValue, UtcMicros

TABLE = Table(
    "t",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("at", UtcMicros),
    Column("value", SampleValue),
    Column("document", CanonicalJson),
)
ENGINE = create_engine("sqlite://")
TABLE.metadata.create_all(ENGINE)


def _through(name: str, value: object) -> object:
    with ENGINE.begin() as conn:
        key = conn.execute(
            insert(TABLE).values({name: value, "document": {}} | {name: value})
        ).inserted_primary_key
        assert key is not None
        result: object = conn.execute(select(TABLE.c[name]).where(TABLE.c.id == key[0])).scalar()
        return result


@given(
    st.datetimes(
        timezones=st.timezones() | st.just(UTC), min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)
    )
)
def test_a_moment_comes_back_as_the_same_moment_in_utc(moment: datetime) -> None:
    read = _through("at", moment)
    assert isinstance(read, datetime)
    assert read == moment.astimezone(UTC)
    assert read.tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(StatementError, match="without a zone"):
        _through("at", datetime(2026, 1, 5))


def test_nothing_comes_back_as_nothing() -> None:
    assert _through("at", None) is None
    assert _through("value", None) is None


@given(st.floats())
def test_any_value_of_a_sample_survives(value: float) -> None:
    read = _through("value", value)
    assert isinstance(read, float)
    assert read == value or (math.isnan(value) and math.isnan(read))
    assert math.copysign(1, read) == math.copysign(1, value) or math.isnan(value)


def test_moments_compare_in_the_database_as_they_do_outside() -> None:
    early = datetime(2026, 1, 5, 12, 0, tzinfo=timezone(timedelta(hours=9)))
    late = datetime(2026, 1, 5, 4, 0, tzinfo=UTC)
    with ENGINE.begin() as conn:
        conn.execute(insert(TABLE).values(id=10_000_001, at=early, document={}))
        found = (
            conn.execute(select(TABLE.c.id).where(TABLE.c.id > 10_000_000, TABLE.c.at < late)).scalars().all()
        )
        assert found == [10_000_001]
