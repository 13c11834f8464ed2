"""The monitoring section: layers of signals, their thresholds, and what is always true of an alert.

A threshold is one clause and compiles to one Prometheus alerting rule. ``over`` fills ``$window`` in the
expression (3% *over* 5 minutes); ``for`` is how long the comparison must hold (*for* 10 minutes).
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from watchkeeper.runbook.models.base import Id, OneOrMore, Part, Sentence, Several, Text
from watchkeeper.runbook.models.maintenance import MaintenanceWindow
from watchkeeper.runbook.models.quantities import Duration, Figure, Period
from watchkeeper.runbook.models.references import PlaybookRef, Promql, ReceiverRef, SignalRef
from watchkeeper.runbook.models.secrets import Secret

Severity = Literal["warn", "page"]
SEVERITIES: tuple[Severity, ...] = ("warn", "page")

Comparison = Literal["above", "below", "at_least", "at_most", "equals"]
OPERATORS: dict[Comparison, str] = {
    "above": ">",
    "below": "<",
    "at_least": ">=",
    "at_most": "<=",
    "equals": "==",
}
"""Each comparison, as PromQL writes it."""

Unit = Literal["ratio", "seconds", "bytes", "count", "per_second", "score", "cores", "state"]


class Threshold(Part):
    """One line that a signal must not cross. Exactly one comparison; everything else is optional."""

    id: Id | None = None
    """Needed only to tell two thresholds of one severity apart; it ends the clause id."""
    above: Figure | None = None
    below: Figure | None = None
    at_least: Figure | None = None
    at_most: Figure | None = None
    equals: Figure | None = None
    over: Duration | None = None
    """The window of the measurement: fills ``$window``."""
    for_: Duration | None = Field(default=None, alias="for")
    """How long the comparison must hold before the alert fires; none means at the first evaluation."""
    keep_firing_for: Duration | None = None
    clear: Figure | None = None
    """Hysteresis: once firing, the alert resolves only when the signal is back beyond this figure."""
    summary: Sentence | None = None
    """What the alert says; Prometheus' templates work: ``{{ $labels.service }}``."""
    playbook: PlaybookRef | None = None

    @model_validator(mode="after")
    def _one_comparison(self) -> Self:
        given = [name for name in OPERATORS if getattr(self, name) is not None]
        if len(given) != 1:
            found = "has none" if not given else f"has {len(given)}: {', '.join(given)}"
            raise PydanticCustomError(
                "comparison",
                "a threshold needs exactly one comparison ({valid}), this one {found}",
                {"valid": ", ".join(OPERATORS), "found": found},
            )
        if self.clear is not None:
            self._check_clear()
        return self

    def _check_clear(self) -> None:
        assert self.clear is not None
        safe = self.clear <= self.figure if self.rises else self.clear >= self.figure
        if self.comparison == "equals" or not safe:
            raise PydanticCustomError(
                "clear",
                "clear: {clear} lies on the wrong side of {comparison}: {figure}; the alert could never hold",
                {"clear": self.clear.text, "comparison": self.comparison, "figure": self.figure.text},
            )

    @property
    def comparison(self) -> Comparison:
        """Which comparison this threshold makes."""
        return next(name for name in OPERATORS if getattr(self, name) is not None)

    @property
    def operator(self) -> str:
        """The comparison as PromQL writes it."""
        return OPERATORS[self.comparison]

    @property
    def figure(self) -> Figure:
        """What the signal is compared with, in base units."""
        value: Figure = getattr(self, self.comparison)
        return value

    @property
    def rises(self) -> bool:
        """Whether it is a high value that is bad."""
        return self.comparison in ("above", "at_least")


class Missing(Part):
    """What an absent series means. Unknown is not green: there is no way to say ``ok`` here."""

    after: Duration = Duration("5m")
    as_: Literal["unknown", "warn", "page"] = Field(default="unknown", alias="as")


class Signal(Part):
    """Something measured. Without thresholds it is shown and kept, and raises nothing.

    ``expr`` may list alternatives: the first that has data wins. ``guard`` is the same shape, and where it
    has no result the thresholds say nothing (the minimum traffic of a ratio).
    """

    id: Id
    title: Text
    unit: Unit = "count"
    expr: OneOrMore[Promql] = Field(min_length=1)
    guard: OneOrMore[Promql] = ()
    window: Duration | None = None
    """Fills ``$window`` where no threshold does: for showing the signal."""
    missing: Missing | None = None
    warn: OneOrMore[Threshold] = ()
    page: OneOrMore[Threshold] = ()
    playbook: PlaybookRef | None = None
    dashboard: Text | None = None
    note: Sentence | None = None

    def thresholds(self, severity: Severity) -> tuple[Threshold, ...]:
        """The thresholds of one severity, in the order of the file."""
        return self.warn if severity == "warn" else self.page


class Layer(Part):
    """A row of the runbook's monitoring table."""

    id: Id
    title: Text
    signals: Several[Signal] = Field(min_length=1)
    covers: Sentence | None = None
    """The signals in words, for the document."""
    alerts: Sentence | None = None
    """The thresholds in words; its figures are quoted from the thresholds: ``{api.error-rate.warn}``."""
    playbook: PlaybookRef | None = None
    dashboard: Text | None = None

    def signal(self, signal_id: str) -> Signal | None:
        """The signal of that id, if the layer has it."""
        return next((signal for signal in self.signals if signal.id == signal_id), None)


class LinkCheck(Part):
    """How often the links of alerts are followed to see that they lead somewhere."""

    every: Period = Period("quarterly")


class Hygiene(Part):
    """What must hold for every service and alert."""

    required_labels: Several[Text] = ("service", "env", "region")
    dashboards: Text | None = None
    """The folder of the dashboards."""
    runbook_url: Text = "/runbook"
    """Where the rendered runbook is served; alerts link to ``<runbook_url>#playbook-<id>``."""
    dashboard_url: Text | None = None
    """Where dashboards are served; a layer's or signal's ``dashboard`` is put behind it."""
    link_check: LinkCheck = LinkCheck()
    rules: Several[Sentence] = ()
    """The rules in words, in the order of the document."""


class CauseOverSymptom(Part):
    """While a cause pages, the alerts of its symptoms stay quiet where the ``equal`` labels agree."""

    cause: OneOrMore[SignalRef] = Field(min_length=1)
    symptom: OneOrMore[SignalRef] = Field(min_length=1)
    equal: Several[Text] = ("env", "region")
    reason: Text


class Inhibition(Part):
    """Which alerts hide which. A hidden alert still fires and is shown; it just tells nobody."""

    page_over_warn: bool = True
    causes: Several[CauseOverSymptom] = ()


class Silencing(Part):
    """What a silence may be. Whoever needs longer makes the next one, having looked again."""

    longest: Duration = Duration("7d")
    remind: Duration = Duration("15m")
    """How long before its end the journal and its owner are reminded of it."""


class Heartbeat(Part):
    """The dead man's switch: a request sent outwards while everything runs; its absence is the alarm."""

    every: Duration = Duration("1m")
    url: Secret | None = None
    receiver: ReceiverRef | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.url is None) == (self.receiver is None):
            raise PydanticCustomError(
                "one_of", "say exactly one: {example}", {"example": "url: {env: NAME} or receiver: ID"}
            )
        return self


class Monitoring(Part):
    """The monitoring section."""

    window: Duration = Duration("5m")
    """Fills ``$window`` where neither threshold nor signal does."""
    missing: Missing = Missing()
    """For signals that do not say it themselves."""
    layers: Several[Layer] = ()
    hygiene: Hygiene = Hygiene()
    inhibition: Inhibition = Inhibition()
    silences: Silencing = Silencing()
    maintenance: Several[MaintenanceWindow] = ()
    """Times that come again, in which alerts that match tell nobody."""
    heartbeat: Heartbeat | None = None

    def layer(self, layer_id: str) -> Layer | None:
        """The layer of that id, if there is one."""
        return next((layer for layer in self.layers if layer.id == layer_id), None)

    def missing_policy(self, signal: Signal) -> Missing:
        """What holds for ``signal`` when it has no data."""
        return signal.missing or self.missing

    def window_of(self, signal: Signal, threshold: Threshold | None = None) -> Duration:
        """What fills ``$window`` for a threshold, or for showing the signal (its first window)."""
        if threshold is not None and threshold.over is not None:
            return threshold.over
        if threshold is None and signal.window is None:
            first = next((t.over for t in (*signal.warn, *signal.page) if t.over is not None), None)
            return first or self.window
        return signal.window or self.window

    def playbook_of(self, layer: Layer, signal: Signal, threshold: Threshold | None = None) -> str | None:
        """The playbook that an alert links to: the threshold's, else the signal's, else the layer's."""
        return (threshold.playbook if threshold else None) or signal.playbook or layer.playbook
