"""Reading the runbook for a role that runs it: with everything judged that other packages know about."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from watchkeeper.app.settings import Settings
from watchkeeper.monitoring.promql.ast import PromQLError, ValueType
from watchkeeper.monitoring.promql.parser import parse
from watchkeeper.monitoring.relabel import RelabelError, Rule
from watchkeeper.runbook.errors import Problem, RunbookError
from watchkeeper.runbook.loading import LoadedRunbook, load
from watchkeeper.runbook.models.references import ExprProblem


def check_expr(text: str) -> ExprProblem | None:
    """What is wrong with a PromQL expression as a signal of the runbook, or None."""
    try:
        expr = parse(text)
    except PromQLError as error:
        return ExprProblem(error.message, error.start)
    if expr.type is not ValueType.VECTOR:
        message = f"this gives a {expr.type}; a signal is an instant vector, one number for each series"
        return ExprProblem(message, expr.start)
    return None


def read_policy(path: Path, overlay: Path | None, *, today: date | None = None) -> LoadedRunbook:
    """The runbook at ``path``, with everything in it judged; ``today`` as in :func:`..loading.load`.

    Raises :class:`~watchkeeper.runbook.errors.RunbookError`.
    """
    return judged(load(path, overlay=overlay, check_expr=check_expr, today=today))


def judged(loaded: LoadedRunbook) -> LoadedRunbook:
    """``loaded``, its relabelling rules judged too. Raises RunbookError."""
    problems = []
    for number, config in enumerate(loaded.runbook.metrics.scrape_configs):
        for name in ("relabel_configs", "metric_relabel_configs"):
            for index, part in enumerate(getattr(config, name)):
                try:
                    Rule.of(part.model_dump(exclude_unset=True))
                except RelabelError as error:
                    place = loaded.place(("metrics", "scrape_configs", number, name, index))
                    problems.append(
                        Problem(place, str(error), f"metrics.scrape_configs.{number}.{name}.{index}")
                    )
    if problems:
        raise RunbookError(problems)
    return loaded


def load_policy(settings: Settings) -> LoadedRunbook:
    """The runbook of this deployment. Raises :class:`~watchkeeper.runbook.errors.RunbookError`."""
    return read_policy(settings.runbook, settings.overlay)
