"""Runs Prometheus' PromQL test scripts against the engine.

``python -m tests.conformance.promqltest DIR_OR_FILE...`` prints every disagreement and, as its last line,
JSON: ``{"passed": …, "failed": …, "skipped": …, "files": {…}}``. Exit code 1 if anything failed.

Always true: an evaluation passes only if everything agrees that Prometheus' own runner compares: values,
order, errors, annotations, and for an instant query also the same query with ``@`` at several times and
as the middle step of a range query. It is skipped only for what involvement.py or the parser proves.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tests.conformance import compare
from tests.conformance.involvement import Beyond, expects_histograms
from tests.conformance.script import Broken, Clear, Command, Eval, Load, read
from watchkeeper.monitoring.promql.ast import (
    Aggregate,
    Binary,
    Call,
    Expr,
    MatrixSelector,
    Paren,
    PromQLError,
    Subquery,
    Unary,
    UnsupportedError,
    ValueType,
    VectorSelector,
)
from watchkeeper.monitoring.promql.engine import Engine
from watchkeeper.monitoring.promql.parser import parse
from watchkeeper.monitoring.promql.printer import to_string
from watchkeeper.monitoring.promql.result import EvaluationError, Result, Series
from watchkeeper.monitoring.promql.series_notation import Special
from watchkeeper.monitoring.samples.frame import STALE_BITS
from watchkeeper.monitoring.samples.memory import MemoryStorage

LOOKBACK_MS = 300_000
DEFAULT_STEP_MS = 60_000
MINUTE_MS = 60_000

# Functions whose result depends on when it is asked for, also where all that they read is pinned by @.
_TIME_DEPENDENT = frozenset(
    {
        *("days_in_month", "day_of_month", "day_of_week", "day_of_year", "hour", "minute", "month", "year"),
        *("predict_linear", "time", "timestamp"),
    }
)
_QUERY_CONTEXT = re.compile(r"(start|end|range|step)\(\)")


@dataclass
class Outcome:
    """What came of one script."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    problems: list[str] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    """Why evaluations were skipped, and how many."""


class Runner:
    """Executes the commands of one script, in order, on a storage of its own."""

    def __init__(self, name: str) -> None:
        self.outcome = Outcome()
        self._name = name
        self._reset()

    def _reset(self) -> None:
        self._storage = MemoryStorage()
        self._engine = Engine(self._storage, lookback_ms=LOOKBACK_MS, default_step_ms=DEFAULT_STEP_MS)
        self._beyond = Beyond()

    def run(self, commands: Iterable[Command]) -> Outcome:
        for command in commands:
            match command:
                case Clear():
                    self._reset()
                case Load():
                    self._load(command)
                case Eval():
                    self._eval(command)
                case Broken():
                    self._fail(command.line, "the script itself", command.reason)
        return self.outcome

    def _load(self, command: Load) -> None:
        self._beyond.note(command)
        for series in command.series:
            times = [
                (position * command.step_ms, value)
                for position, value in enumerate(series.values)
                if value is not Special.OMITTED and value is not Special.HISTOGRAM
            ]
            values = np.array(
                [0.0 if isinstance(value, Special) else value for _, value in times], np.float64
            )
            stale = np.array([value is Special.STALE for _, value in times], np.bool_)
            values.view(np.uint64)[stale] = STALE_BITS
            if times:
                self._storage.add(series.labels, np.array([time for time, _ in times], np.int64), values)

    # -- evaluations ---------------------------------------------------------------------------

    def _eval(self, command: Eval) -> None:
        reason = self._reason_to_skip(command)
        if reason is not None:
            self.outcome.skipped += 1
            self.outcome.reasons[reason] = self.outcome.reasons.get(reason, 0) + 1
            return
        for text, at_ms in self._variants(command):
            problem = self._check(command, text, at_ms)
            if problem is not None:
                shown = command.text if text == command.text and at_ms is None else f"{text} (at {at_ms} ms)"
                self._fail(command.line, shown, problem)
                return
        self.outcome.passed += 1

    def _reason_to_skip(self, command: Eval) -> str | None:
        if expects_histograms(command):
            return "native histograms"
        try:
            expr = parse(command.text)
        except UnsupportedError as error:
            return error.message
        except PromQLError:
            return None  # whether it was to fail is for the evaluation to find out
        return self._beyond.read_by(expr, command, LOOKBACK_MS)

    def _variants(self, command: Eval) -> Iterator[tuple[str, int | None]]:
        """The query itself (None: at its own time), then what must give the same at other times."""
        yield command.text, None
        if command.step_ms is not None:
            return
        try:
            pinned = pin(parse(command.text), command.start_ms)
        except PromQLError:
            return
        if pinned is None:
            return
        at = command.start_ms
        others = [-10 * at, 0, at // 5, at, 10 * at] if at else [-1000, 0, 1000]
        for other in others:
            yield to_string(pinned), other

    def _check(self, command: Eval, text: str, at_ms: int | None) -> str | None:
        try:
            if command.step_ms is not None:
                result = self._engine.range(text, command.start_ms, command.end_ms, command.step_ms)
                return self._judge(command, result)
            at_ms = command.start_ms if at_ms is None else at_ms
            problem = self._judge(command, self._engine.instant(text, at_ms))
            if problem is not None or command.must_fail or _QUERY_CONTEXT.search(text):
                return problem
            if command.points is not None or command.string is not None:
                return None
            around = self._engine.range(text, at_ms - MINUTE_MS, at_ms + MINUTE_MS, MINUTE_MS)
            problem = self._judge_middle(command, around, at_ms)
            return problem and f"as the middle step of a range query: {problem}"
        except (PromQLError, EvaluationError) as error:
            message = _error_text(error, text)
            return compare.failure(command, message) if command.must_fail else f"failed: {message}"
        except Exception as error:  # noqa: BLE001 - a crash of the engine is a finding about one evaluation
            return f"crashed: {type(error).__name__}: {error}"

    @staticmethod
    def _judge(command: Eval, result: Result) -> str | None:
        if command.must_fail:
            return "expected to fail, and did not"
        return compare.annotated(command, result.annotations) or compare.result(command, result)

    @staticmethod
    def _judge_middle(command: Eval, result: Result, at_ms: int) -> str | None:
        if command.ordered:
            return None
        middle = []
        for series in result.series:
            points = [point for point in series.points if point[0] == at_ms]
            if points:
                middle.append(Series(series.labels, points))
        if command.scalar is not None:
            return compare.result(command, Result(ValueType.SCALAR, middle))
        return compare.vector(command, middle)

    def _fail(self, line: int, what: str, problem: str) -> None:
        self.outcome.failed += 1
        self.outcome.problems.append(f"{self._name}:{line}: {what}\n    {problem}")


def _error_text(error: PromQLError | EvaluationError, text: str) -> str:
    if isinstance(error, PromQLError):
        line = text.count("\n", 0, error.start) + 1
        column = error.start - (text.rfind("\n", 0, error.start) + 1) + 1
        return f"{line}:{column}: parse error: {error.message}"
    return str(error)


def pin(expr: Expr, at_ms: int) -> Expr | None:
    """``expr`` with ``@ at_ms`` on all that it selects, so that it gives the same at any time.

    Selectors inside a subquery stay as they are: the subquery is pinned. None where ``expr`` holds a
    function that looks at the clock.
    """
    match expr:
        case VectorSelector():
            return expr if isinstance(expr.at, int) else replace(expr, at=at_ms)
        case MatrixSelector():
            selector = pin(expr.selector, at_ms)
            assert isinstance(selector, VectorSelector)
            return replace(expr, selector=selector)
        case Subquery():
            return expr if isinstance(expr.at, int) else replace(expr, at=at_ms)
        case Paren() | Unary():
            inner = pin(expr.expr, at_ms)
            return inner and replace(expr, expr=inner)
        case Binary():
            lhs, rhs = pin(expr.lhs, at_ms), pin(expr.rhs, at_ms)
            return lhs and rhs and replace(expr, lhs=lhs, rhs=rhs)
        case Aggregate():
            inner, param = pin(expr.expr, at_ms), expr.param and pin(expr.param, at_ms)
            if inner is None or (expr.param is not None and param is None):
                return None
            return replace(expr, expr=inner, param=param)
        case Call():
            if expr.func in _TIME_DEPENDENT:
                return None
            args = [pinned for arg in expr.args if (pinned := pin(arg, at_ms)) is not None]
            return replace(expr, args=tuple(args)) if len(args) == len(expr.args) else None
        case _:
            return expr


def run_file(path: Path) -> Outcome:
    """Runs one script."""
    return Runner(str(path)).run(read(path.read_text(encoding="utf-8")))


def scripts(paths: Sequence[Path]) -> list[Path]:
    """The ``.test`` files among ``paths`` and directly inside the directories among them."""
    found: list[Path] = []
    for path in paths:
        found += sorted(path.glob("*.test")) if path.is_dir() else [path]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="promqltest", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("paths", nargs="+", type=Path, metavar="DIR_OR_FILE")
    parser.add_argument("--why-skipped", action="store_true", help="say why evaluations were skipped")
    options = parser.parse_args(arguments)
    missing = [path for path in options.paths if not path.exists()]
    if missing:
        parser.error(f"no such file or directory: {missing[0]}")
    total, files = Outcome(), {}
    for path in scripts(options.paths):
        outcome = run_file(path)
        for problem in outcome.problems:
            print(problem)
        print(f"{path}: {outcome.passed} passed, {outcome.failed} failed, {outcome.skipped} skipped")
        if options.why_skipped:
            for reason, count in sorted(outcome.reasons.items()):
                print(f"    {count} skipped: {reason}")
        files[path.name] = {"passed": outcome.passed, "failed": outcome.failed, "skipped": outcome.skipped}
        total.passed += outcome.passed
        total.failed += outcome.failed
        total.skipped += outcome.skipped
    summary = {"passed": total.passed, "failed": total.failed, "skipped": total.skipped, "files": files}
    print(json.dumps(summary))
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
