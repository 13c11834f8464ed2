"""The rules as pages and the API read them: what ``watch`` says, and the clause each one enforces."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from watchkeeper.console.policy import Policy
from watchkeeper.console.roles import Roles
from watchkeeper.console.targets import moment

ASK_SECONDS = 10.0
_ORDER = {"firing": 0, "pending": 1, "inactive": 2}


class Rule(BaseModel):
    """One alerting rule."""

    name: str
    layer: str
    signal: str | None
    clause: str | None = Field(description="The line of the runbook that it enforces.")
    severity: str
    state: Literal["firing", "pending", "inactive"]
    alerts: int = Field(description="How many alerts of it are pending or fire.")
    health: Literal["ok", "err", "unknown"] = Field(description="Whether it could be evaluated.")
    error: str
    expression: str
    for_seconds: float = Field(description="How long it must be true before it fires.")
    keep_firing_for_seconds: float
    last_evaluation: datetime | None
    evaluation_seconds: float
    share: float = Field(description="Of the time that all rules took, between 0 and 1.")


class Question(BaseModel):
    """Which rules. What is empty is not asked."""

    state: Literal["", "firing", "pending", "inactive", "failing"] = ""
    text: str = Field("", max_length=200, description="Stands in the name, the clause or the expression.")

    def fits(self, one: Rule) -> bool:
        """Whether ``one`` is asked for."""
        words = f"{one.name} {one.clause} {one.layer} {one.signal} {one.expression} {one.error}".lower()
        state = one.health == "err" if self.state == "failing" else one.state == self.state
        return (not self.state or state) and self.text.strip().lower() in words


async def ask(roles: Roles, policy: Policy | None) -> list[Rule]:
    """Every rule: those that cannot be evaluated first, then what fires. Raises WireError."""
    document = json.loads(await roles.watch("rules", {"type": "alert", "names": []}, ASK_SECONDS))
    rows = [row for group in document["data"]["groups"] for row in group["rules"]]
    total = sum(float(row["evaluationTime"]) for row in rows)
    known = {rule.name: rule for rule in policy.compiled.rules} if policy is not None else {}
    found = []
    for row in rows:
        rule = known.get(row["name"])
        labels: dict[str, Any] = row["labels"]
        found.append(
            Rule(
                name=row["name"],
                layer=rule.layer if rule else str(labels.get("layer", "")),
                signal=rule.signal if rule else labels.get("signal"),
                clause=rule.clause if rule else row["annotations"].get("clause"),
                severity=str(labels.get("severity", "")),
                state=row["state"],
                alerts=len(row["alerts"]),
                health=row["health"],
                error=str(row.get("lastError") or ""),
                expression=row["query"],
                for_seconds=row["duration"],
                keep_firing_for_seconds=row["keepFiringFor"],
                last_evaluation=moment(row["lastEvaluation"]),
                evaluation_seconds=row["evaluationTime"],
                share=float(row["evaluationTime"]) / total if total else 0.0,
            )
        )
    return sorted(found, key=lambda one: (one.health != "err", _ORDER[one.state]))


def totals(rules: Iterable[Rule]) -> dict[str, int]:
    """How many rules fire, are pending, are inactive, and cannot be evaluated."""
    counts = {"firing": 0, "pending": 0, "inactive": 0, "failing": 0}
    for one in rules:
        counts[one.state] += 1
        counts["failing"] += one.health == "err"
    return counts
