"""Rotas for tests, and times in them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from watchkeeper.runbook.models.people import Rota


def rota(*layers: dict[str, Any], timezone: str = "UTC", overrides: tuple[dict[str, Any], ...] = ()) -> Rota:
    """A rota of ``layers``, each with an id of its own unless it brings one."""
    return Rota.model_validate(
        {
            "id": "platform",
            "title": "Platform",
            "timezone": timezone,
            "layers": [{"id": f"layer-{number}", **layer} for number, layer in enumerate(layers)],
            "overrides": list(overrides),
        }
    )


def utc(text: str) -> datetime:
    """``2026-03-30 09:00``, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(moment: datetime, zone: str) -> str:
    """What the clocks in ``zone`` show at ``moment``."""
    return moment.astimezone(ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M")


RUNBOOK = """\
runbook: 1
platform: Island
contacts:
  - {id: ada, name: Ada, email: ada@example.org, phone: "+49 30 1"}
  - {id: ben, name: Ben, slack: "@ben"}
  - {id: cleo, name: "Cleo\\e[2J, the third", email: cleo@example.org}
oncall:
  default: platform
  rotas:
    - id: platform
      title: Platform on call
      timezone: Europe/Berlin
      layers:
        - id: weekly
          participants: [ada, ben]
          start: 2026-03-02T09:00:00+01:00
    - id: office
      title: Office hours
      layers:
        - {id: day, participants: [cleo], hours: ["mon-fri 09:00-17:00"]}
"""
"""Ada and Ben by weeks in Berlin; Cleo in office hours, UTC."""
