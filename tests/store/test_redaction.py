"""Secrets do not reach what is recorded; everything else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.store.redaction import MASK, masked, names_a_secret


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "PASSWORD",
        "db_password",
        "dbPassword",
        "routing_key",
        "routingKey",
        "api-key",
        "apikey",
        "X-Auth-Token",
        "Authorization",
        "client_secret",
        "privateKey",
        "aws_secret_access_key",
        "Set-Cookie",
    ],
)
def test_text_under_the_name_of_a_secret_is_masked(key: str) -> None:
    assert masked({"outer": [{key: "hunter2"}]}) == {"outer": [{key: MASK}]}
    assert masked({key: {"value": "hunter2"}}) == {key: MASK}


@pytest.mark.parametrize(
    "key", ["dedup_key", "order_key", "summary", "keys", "monkey", "tokenizer", "passage"]
)
def test_other_names_are_left_alone(key: str) -> None:
    assert not names_a_secret(key)


def test_numbers_and_flags_are_no_secrets() -> None:
    assert masked({"token_count": 3, "has_password": True, "token": None}) == {
        "token_count": 3,
        "has_password": True,
        "token": None,
    }


def test_a_password_inside_a_url_is_masked_and_the_rest_stays() -> None:
    assert masked("see postgres://ann:p%40ss:w@db:5432/x and https://h/p") == (
        f"see postgres://ann:{MASK}@db:5432/x and https://h/p"
    )


@given(
    st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
)
def test_whatever_is_under_the_name_of_a_secret_is_masked_whole(secret: object) -> None:
    assert masked({"outer": [{"password": secret}]}) == {"outer": [{"password": MASK}]}


@given(st.text(st.characters(exclude_characters="/?#@: \t\n\r\x0b\x0c", codec="utf-8"), min_size=1))
def test_no_password_survives_in_a_url(password: str) -> None:
    if not any(char.isspace() for char in password):
        assert masked(f"amqp://user:{password}@host/") == f"amqp://user:{MASK}@host/"
