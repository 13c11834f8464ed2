"""Reading the runbook for a role that runs it: with everything judged that other packages know about."""

from __future__ import annotations

from watchkeeper.app.settings import Settings
from watchkeeper.monitoring.promql.ast import PromQLError, ValueType
from watchkeeper.monitoring.promql.parser import parse
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


def load_policy(settings: Settings) -> LoadedRunbook:
    """The runbook of this deployment. Raises :class:`watchkeeper.runbook.errors.RunbookError`."""
    return load(settings.runbook, overlay=settings.overlay, check_expr=check_expr)
