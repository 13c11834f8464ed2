"""The ways in which somebody can be paged, by what the runbook has."""

from __future__ import annotations

from tests.runbook.documents import read
from watchkeeper.runbook.ways import Way, ways

TEXT = """
runbook: 1
platform: X
notifications:
  receivers:
    - {id: push, apprise: {url: {env: PUSH}}}
    - {id: hook, slack: {webhook_url: {env: HOOK}}}
    - {id: bot, slack: {token: {env: TOKEN}, channel: "#ops"}}
    - {id: mail, email: {host: localhost, sender: wk@example.org, to: ops@example.org}}
    - {id: other, email: {host: localhost, sender: wk@example.org, to: ops@example.org}}
contacts:
  - {id: ada, name: Ada, email: ada@example.org, slack: U1, phone: "+49 30 1", receivers: [push, push]}
  - {id: ben, name: Ben, phone: "+49 30 2"}
"""


def _ways(text: str, who: str) -> tuple[Way, ...]:
    book = read(text).runbook
    contact = book.contact(who)
    assert contact is not None
    return ways(book, contact)


def test_receivers_of_their_own_the_first_mail_receiver_and_the_first_bot() -> None:
    found = _ways(TEXT, "ada")
    assert [(way.name, way.receiver, way.to) for way in found] == [
        ("receiver:push", "push", None),
        ("email:ada@example.org", "mail", "ada@example.org"),
        ("slack:U1", "bot", "U1"),
    ]


def test_an_address_without_a_receiver_is_no_way() -> None:
    text = TEXT.replace("mail,", "mail-1,").replace(
        "bot, slack: {token: {env: TOKEN}, channel", "b, webhook: {url"
    )
    text = text.replace('"#ops"', '"https://example.org"')
    assert [way.name for way in _ways(text, "ada")] == ["receiver:push", "email:ada@example.org"]


def test_a_telephone_number_is_no_way() -> None:
    assert _ways(TEXT, "ben") == ()
