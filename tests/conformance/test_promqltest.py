"""The engine beside the scripts that define PromQL: Prometheus' own where they are at hand, and ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance.promqltest import Outcome, Runner, main, run_file, scripts
from tests.conformance.script import Eval, read
from watchkeeper.monitoring.promql.engine import Engine

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT.parent / "shared" / "promqltest"
OURS = Path(__file__).parent / "cases"


def _explained(outcome: Outcome) -> str:
    return "\n".join(outcome.problems)


@pytest.mark.skipif(not PROMETHEUS.is_dir(), reason=f"Prometheus' test scripts are not in {PROMETHEUS}")
def test_no_float_evaluation_of_prometheus_own_scripts_fails() -> None:
    outcomes = {path.name: run_file(path) for path in scripts([PROMETHEUS])}
    assert outcomes
    for name, outcome in outcomes.items():
        assert outcome.failed == 0, f"{name}:\n{_explained(outcome)}"
        assert outcome.passed > 0, name
    for outcome in outcomes.values():
        for reason in outcome.reasons:
            assert reason in ("native histograms", "start timestamps") or "experimental" in reason


@pytest.mark.parametrize("path", scripts([OURS]), ids=lambda path: path.stem)
def test_our_own_scripts_pass_completely(path: Path) -> None:
    outcome = run_file(path)
    assert outcome.failed == 0, _explained(outcome)
    assert outcome.skipped == 0
    assert outcome.passed > 0


LOAD = """\
load 1m
  a{x="1"} 0+1x10
  a{x="2"} 0+2x10
  h{x="1"} {{schema:0 count:1 sum:1}}x10
  late _x8 {{count:1}}
"""


def outcome_of(tmp_path: Path, text: str) -> Outcome:
    path = tmp_path / "some.test"
    path.write_text(LOAD + "\n" + text)
    return run_file(path)


PASSES = [
    'eval instant at 5m a\n  a{x="1"} 5\n  a{x="2"} 10\n',
    'eval instant at 5m a{x="1"}\n  {__name__="a", x="1"} 5.000001\n',
    "eval instant at 5m sum(a)\n  {} 15\n",
    "eval instant at 5m scalar(sum(a)) + 0x10\n  31\n",
    "eval instant at 5m NaN\n  NaN\n",
    'eval instant at 0 a{x="3"}\n',
    'eval_ordered instant at 5m sort_desc(a)\n  a{x="2"} 10\n  a{x="1"} 5\n',
    'eval instant at 5m sort(a)\n  expect ordered\n  a{x="1"} 5\n  a{x="2"} 10\n',
    "eval_fail instant at 5m a + on () a\n",
    "eval instant at 5m a + on () a\n  expect fail\n",
    "eval instant at 5m a + on () a\n  expect fail regex: found duplicate series .*\n",
    "eval_fail instant at 5m a + on () a\n  expected_fail_regexp many-to-many\n",
    "eval range from 0 to 4m step 2m sum(a)\n  {} 0 6 12\n",
    "eval range from 0 to 4m step 2m sum(a) > 5\n  {} _ 6 12\n",
    'eval instant at 5m a{x="1"}[2m]\n  expect range vector from 4m to 5m step 1m\n  a{x="1"} 4 5\n',
    'eval instant at 5m "text"\n  expect string "text"\n',
    'eval instant at 5m rate(a{x="1"}[5m])\n  expect info\n  {x="1"} 0.016666666666666666\n',
    "eval instant at 5m quantile(2, a)\n  expect warn regex: quantile value should be .*\n  {} Inf\n",
    "eval_warn instant at 5m quantile(2, a)\n  {} Inf\n",
    "eval instant at 5m sum(a)\n  expect no_warn\n  expect no_info\n  {} 15\n",
    "clear\n\neval instant at 5m a\n",
    "# a comment\n\neval instant at 5m late\n",
]
FAILS = [
    (
        'eval instant at 5m a\n  a{x="1"} 5\n  a{x="2"} 11\n',
        'expected 11.0 for {__name__="a", x="2"}, got 10.0',
    ),
    ('eval instant at 5m a{x="1"}\n  a{x="1"} 5.0001\n', "expected 5.0001"),
    ('eval instant at 5m a{x="1"}\n  {x="1"} 5\n', 'unexpected series {__name__="a", x="1"}'),
    ('eval instant at 5m a{x="1"}\n  a{x="1"} 5\n  b 1\n', 'expected series {__name__="b"}'),
    ('eval instant at 5m a{x="1"}\n', "unexpected series"),
    ("eval instant at 5m sum(a)\n  15\n", "expected scalar 15.0"),
    ("eval instant at 5m 15\n  {} 15\n", "got scalar 15.0"),
    ("eval instant at 5m 15\n  16\n", "expected scalar 16.0, got 15.0"),
    ('eval instant at 5m "a"\n  expect string "b"\n', "expected string 'b', got string 'a'"),
    ('eval_ordered instant at 5m sort(a)\n  a{x="2"} 10\n  a{x="1"} 5\n', "at position"),
    ("eval_fail instant at 5m a\n", "expected to fail, and did not"),
    ("eval instant at 5m a + on () a\n", "failed: found duplicate series"),
    ("eval instant at 5m a + on () a\n  expect fail msg: other\n", "expected to fail with 'other'"),
    ("eval instant at 5m rate(a)\n", "1:6: parse error: expected type range vector"),
    ("eval range from 0 to 4m step 2m sum(a)\n  {} 0 6 13\n", "expected 13.0 for {} at 240000 ms, got 12.0"),
    ("eval range from 0 to 4m step 2m sum(a)\n  {} 0 6\n", "expected points of {}"),
    ("eval range from 0 to 4m step 2m sum(a)\n  {} 0 _ 12\n", "expected points of {}"),
    ("eval range from 0 to 4m step 2m sum(a)\n  {} 0 6 12 18\n", "expects more points"),
    (
        'eval instant at 5m a{x="1"}[2m]\n  expect range vector from 3m to 5m step 1m\n  a{x="1"} 3 4 5\n',
        "points of",
    ),
    (
        'eval instant at 5m abs(a{x="1"})\n  expect warn\n  {x="1"} 5\n',
        "expected a warn annotation, got none",
    ),
    ("eval instant at 5m rate(a[5m])\n  expect no_info\n", "expected no info annotation"),
    (
        "eval instant at 5m quantile(2, a)\n  expect warn msg: other\n  {} Inf\n",
        "expected a warn annotation with",
    ),
    ("evil instant at 5m a\n", "not a command"),
    ("eval instant a\n", "expected eval[_...] instant at TIME EXPR"),
    ("eval range from 5m to 1m step 1m a\n", "the end is before the start"),
    ("eval instant at 5m a\n  a 1 2\n", "several values for an instant query"),
    ("eval instant at 5m a\n  expect nothing\n", "expected: expect KIND"),
    ("load\n  a 1\n", "expected load"),
    ("load 1m\n  a 1 b\n", "not a series value"),
]
SKIPPED = [
    ("eval instant at 5m h\n", "native histograms"),
    ("eval instant at 5m h + 1\n", "native histograms"),
    ("eval instant at 5m rate(h[5m])\n", "native histograms"),
    ('eval instant at 9m {__name__=~"a|late"}\n', "native histograms"),
    ("eval instant at 20m count_over_time(late[15m])\n", "native histograms"),
    ("eval instant at 20m count_over_time((late offset 5m)[10m:1m])\n", "native histograms"),
    ("eval instant at 0 late @ 600\n", "native histograms"),
    ("eval instant at 5m b\n  b {{count:1}}\n", "native histograms"),
    ("eval instant at 5m limitk(1, a)\n", "limitk() is an experimental aggregation and not supported"),
    ("eval_fail instant at 5m info(a)\n", 'function "info" is experimental and not supported'),
]


@pytest.mark.parametrize("text", PASSES)
def test_the_runner_passes_what_agrees(tmp_path: Path, text: str) -> None:
    outcome = outcome_of(tmp_path, text)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (1, 0, 0), _explained(outcome)


@pytest.mark.parametrize(("text", "problem"), FAILS)
def test_the_runner_fails_what_does_not_agree(tmp_path: Path, text: str, problem: str) -> None:
    outcome = outcome_of(tmp_path, text)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (0, 1, 0)
    assert problem in outcome.problems[0]


@pytest.mark.parametrize(("text", "reason"), SKIPPED)
def test_the_runner_skips_only_what_it_can_prove(tmp_path: Path, text: str, reason: str) -> None:
    outcome = outcome_of(tmp_path, text)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (0, 0, 1), _explained(outcome)
    assert list(outcome.reasons) == [reason]


def test_a_wrong_result_of_a_classic_histogram_loaded_with_nhcb_is_not_skipped(tmp_path: Path) -> None:
    load = 'clear\n\nload_with_nhcb 1m\n  c_bucket{le="1"} 1x5\n  c_bucket{le="+Inf"} 2x5\n  c_count 2x5\n\n'
    good = "eval instant at 1m histogram_quantile(0.5, c_bucket)\n  {} 1\n\n"
    bad = "eval instant at 1m histogram_quantile(0.5, c_bucket)\n  {} 2\n\n"
    native = "eval instant at 1m histogram_quantile(0.5, c)\n  {} 1\n"
    outcome = outcome_of(tmp_path, load + good + bad + native)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (1, 1, 1)


def test_an_instant_query_is_also_asked_at_other_times_and_in_a_range(tmp_path: Path) -> None:
    command = read("eval instant at 5m sum(a) + time()\n  {} 1\n\neval instant at 5m sum(a[1m:])\n")[0]
    assert isinstance(command, Eval)
    runner = Runner("x")
    assert [at for _, at in runner._variants(command)] == [None], "time() gives another result at other times"
    command = read("eval instant at 5m rate(a[1m]) + b @ 7 + max_over_time(c[5m:])\n")[0]
    assert isinstance(command, Eval)
    pinned = "rate(a[1m] @ 300.000) + b @ 7.000 + max_over_time(c[5m:] @ 300.000)"
    variants = list(runner._variants(command))
    assert variants[0] == (command.text, None)
    assert variants[1:] == [(pinned, at) for at in (-3_000_000, 0, 60_000, 300_000, 3_000_000)]


def test_the_last_line_is_json_and_the_exit_code_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good.test").write_text(f"{LOAD}\n{PASSES[0]}\n{SKIPPED[0][0]}")
    (tmp_path / "notes.txt").write_text("not a script")
    assert main([str(tmp_path)]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    counts = {"passed": 1, "failed": 0, "skipped": 1}
    assert summary == {**counts, "files": {"good.test": counts}}
    bad = tmp_path / "bad.test"
    bad.write_text(f"{LOAD}\n{FAILS[0][0]}")
    assert main([str(bad)]) == 1
    out = capsys.readouterr().out
    assert f"{bad}:7: a\n" in out
    assert json.loads(out.splitlines()[-1])["failed"] == 1
    with pytest.raises(SystemExit):
        main([str(tmp_path / "absent")])


def test_a_crash_of_the_engine_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(Engine, "instant", broken)
    outcome = outcome_of(tmp_path, PASSES[0])
    assert "crashed: ZeroDivisionError: oops" in outcome.problems[0]
