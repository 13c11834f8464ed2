"""Column types that mean the same on every database: times as integer microseconds, JSON as one text."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Integer, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from watchkeeper.store.canonical import canonical_json
from watchkeeper.store.clock import from_us, to_us

RowId = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit key; on SQLite the type that aliases the row id."""


class UtcMicros(TypeDecorator[datetime]):
    """An aware moment, kept as integer microseconds since the Unix epoch, UTC; reads back in UTC."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored; use an aware datetime in UTC")
        return to_us(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_us(value)


class SampleValue(TypeDecorator[float]):
    """A sample's value, kept as text, because SQLite's own numbers have no NaN."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> str | None:
        return None if value is None else repr(float(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> float | None:
        return None if value is None else float(value)


class CanonicalJson(TypeDecorator[Any]):
    """A JSON document as canonical text (see :mod:`watchkeeper.store.canonical`)."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        return canonical_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)
