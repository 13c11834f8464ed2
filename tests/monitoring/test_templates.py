"""Templates of labels and annotations, beside Prometheus' own."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.monitoring.promtool import PROMTOOL, needs_promtool
from watchkeeper.monitoring.template_functions import sprintf
from watchkeeper.monitoring.templates import External, TemplateError, compile_template, expand

LABELS = {"instance": "web-1.example.org:9100", "job": "api", "path": "/a b", "empty": ""}
VALUE = 1234.5

EXPANDED = [
    ("no template", "no template"),
    ("{{ $labels.job }}", "api"),
    ("{{$labels.job}}/{{ .Labels.job }}", "api/api"),
    ("{{ $labels.nothing }}.", "."),
    ("{{ $value }}", "1234.5"),
    ("{{ .Value }}", "1234.5"),
    ("{{ $.Value }}", "1234.5"),
    ("{{ $labels.job | toUpper }}", "API"),
    ("{{ toUpper $labels.job | printf `%s-%s` `x` }}", "x-API"),
    ('{{ "quoted \\"text\\"" }}', 'quoted "text"'),
    ("{{ `raw {{ braces }}` }}", "raw {{ braces }}"),
    ("a {{- 1 -}} b", "a1b"),
    ("a {{ 1 }} b", "a 1 b"),
    ("a {{- /* comment */ -}} b", "ab"),
    ("{{/* only a comment */}}", ""),
    ("{{ $value | humanize }}", "1.234k"),
    ("{{ 0.0 | humanize }}", "0"),
    ("{{ 1e9 | humanize }}", "1G"),
    ("{{ 0.00025 | humanize }}", "250u"),
    ("{{ -15e6 | humanize }}", "-15M"),
    ("{{ 2048.0 | humanize1024 }}", "2ki"),
    ("{{ 1e9 | humanize1024 }}", "953.7Mi"),
    ("{{ 0.5 | humanize1024 }}", "0.5"),
    ("{{ 93784.0 | humanizeDuration }}", "1d 2h 3m 4s"),
    ("{{ 3661.0 | humanizeDuration }}", "1h 1m 1s"),
    ("{{ 61.5 | humanizeDuration }}", "1m 1s"),
    ("{{ 12.345 | humanizeDuration }}", "12.35s"),
    ("{{ 0.0123 | humanizeDuration }}", "12.3ms"),
    ("{{ -61.0 | humanizeDuration }}", "-1m 1s"),
    ("{{ 0.0 | humanizeDuration }}", "0s"),
    ("{{ 0.05123 | humanizePercentage }}", "5.123%"),
    ("{{ 12.0 | humanizePercentage }}", "1200%"),
    ("{{ 1435065584.128 | humanizeTimestamp }}", "2015-06-23 13:19:44.128 +0000 UTC"),
    ("{{ 0.0 | humanizeTimestamp }}", "1970-01-01 00:00:00 +0000 UTC"),
    ('{{ printf "%.2f" $value }}', "1234.50"),
    (
        '{{ printf "%8.1f|%-8.1f|%08.1f|%+.0f" $value $value $value $value }}',
        "  1234.5|1234.5  |001234.5|+1234",
    ),
    ('{{ printf "%g %e %v" $value $value $value }}', "1234.5 1.234500e+03 1234.5"),
    ('{{ printf "%s %q %5s|%-5s|" $labels.job $labels.job "a" "b" }}', 'api "api"     a|b    |'),
    ('{{ printf "%d" $value }}', "%!d(float64=1234.5)"),
    ('{{ printf "%d%%" 5 }}', "5%"),
    ('{{ printf "%.3s" "abcdef" }}', "abc"),
    ('{{ printf "%s" }}', "%!s(MISSING)"),
    ('{{ printf "x" 1 }}', "x%!(EXTRA int=1)"),
    ("{{ title `hello big world` }}", "Hello Big World"),
    ("{{ toLower `ABC` }}", "abc"),
    ("{{ $labels.instance | stripPort }}", "web-1.example.org"),
    ("{{ $labels.instance | stripDomain }}", "web-1:9100"),
    ("{{ `10.0.0.1:80` | stripDomain }}", "10.0.0.1:80"),
    ("{{ `[::1]:80` | stripPort }}", "::1"),
    ("{{ `host` | stripPort }}", "host"),
    ("{{ reReplaceAll `(\\\\w+)-(\\\\d+)` `$2-$1` `web-1` }}".replace("\\\\", "\\"), "1-web"),
    ("{{ match `^web` $labels.instance }}", "true"),
    ("{{ len $labels.job }}", "3"),
    ("{{ index $labels `job` }}", "api"),
    ("{{ urlquery $labels.path }}", "%2Fa+b"),
    ("{{ print 1 2 `x` 3 }}", "1 2x3"),
    ("{{ if gt $value 1000.0 }}high{{ else }}low{{ end }}", "high"),
    ("{{ if lt $value 1000.0 }}low{{ else if eq $labels.job `api` }}api{{ else }}other{{ end }}", "api"),
    ("{{ if $labels.empty }}full{{ else }}empty{{ end }}", "empty"),
    ("{{ if and $labels.job (not $labels.empty) }}yes{{ end }}", "yes"),
    ("{{ or $labels.empty `fallback` }}", "fallback"),
    ("{{ with $labels.job }}job {{ . }}{{ end }}", "job api"),
    ("{{ with $labels.empty }}x{{ else }}none{{ end }}", "none"),
    ("{{ $x := $labels.job }}{{ $x }}{{ if true }}{{ $y := 1 }}{{ $y }}{{ end }}", "api1"),
    ("{{ eq $labels.job `x` `api` }}", "true"),
    ("{{ ne 1 2 }}{{ le 1 1 }}{{ ge 1 2 }}", "truetruefalse"),
    ("{{ 1e6 }} {{ 123456789.0 }} {{ 100000.0 }} {{ 1e-5 }}", "1e+06 1.23456789e+08 100000 1e-05"),
    ("{{ true }}", "true"),
    ("{{ (printf `%s` `in`) | toUpper }}", "IN"),
    ("{{ $labels.job }}\n{{ $value }}", "api\n1234.5"),
]


@pytest.mark.parametrize(("template", "expected"), EXPANDED)
def test_templates_expand(template: str, expected: str) -> None:
    assert expand(template, LABELS, VALUE) == expected


@needs_promtool
def test_promtool_expands_the_same(tmp_path: Path) -> None:
    labels = {name: value for name, value in LABELS.items() if value}
    series = ", ".join(f'{name}="{value}"' for name, value in labels.items())
    templates = {f"t{position}": template for position, (template, _) in enumerate(EXPANDED)}
    expected = {f"t{position}": expected for position, (_, expected) in enumerate(EXPANDED)}
    rules = {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "m", "annotations": templates}]}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    alert = {"exp_labels": labels, "exp_annotations": expected}
    suite = {
        "rule_files": ["rules.yml"],
        "tests": [
            {
                "input_series": [{"series": f"m{{{series}}}", "values": str(VALUE)}],
                "alert_rule_test": [{"eval_time": "0m", "alertname": "A", "exp_alerts": [alert]}],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(suite))
    done = subprocess.run(
        [PROMTOOL, "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("template", "message", "marks"),
    [
        ("a {{ $labels.job", "unclosed action", "  ^^"),
        ("{{ }}", "missing value for command", "^^^^^"),
        ("{{ nonsense $value }}", 'function "nonsense" not defined', "   ^^^^^^^^"),
        ("{{ query `up` }}", 'the function "query" is not supported', "   ^^^^^"),
        ("{{ range $labels }}{{ end }}", '"range" is not supported', "^^^^^^^^^^^^^^^^^^^"),
        ('{{ template "x" }}', '"template" is not supported', "^^^^^^^^^^^^^^^^^^"),
        ("{{ $nothing }}", 'undefined variable "$nothing"', "   ^^^^^^^^"),
        ("{{ .Nothing }}", 'can\'t evaluate field "Nothing"', "   ^^^^^^^^"),
        ("{{ if true }}x", "no {{end}} for this", "^^^^^^^^^^^^^"),
        ("x{{ end }}", "unexpected {{end}}", " ^^^^^^^^^"),
        ("{{ humanize }}", "wrong number of args for humanize: want 1 got 0", "   ^^^^^^^^"),
        (
            "{{ $value | humanize 1.0 }}",
            "wrong number of args for humanize: want 1 got 2",
            " " * 12 + "^" * 8,
        ),
        ("{{ $value $value }}", "can't give arguments to what is not a function", "   ^^^^^^"),
        ("{{ $value | $labels.job }}", "can't give arguments to what is not a function", " " * 12 + "^" * 11),
        ("{{ (print 1 }}", "unclosed left parenthesis", "   ^"),
        ("{{ 'x' }}", 'unexpected "\'" in a template', "   ^"),
        ('{{ "\\q" }}', "unknown escape sequence", "   ^^^^"),
        ("{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}", "undefined variable", " " * 38 + "^^"),
    ],
)
def test_what_cannot_be_expanded_is_refused_with_its_place(template: str, message: str, marks: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_template(template)
    assert message in caught.value.message
    assert (caught.value.start, caught.value.end) == (marks.index("^"), len(marks))


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ humanize `abc` }}", "not a number"),
        ("{{ gt $value 1 }}", "incompatible types for comparison"),
        ("{{ toUpper $value }}", "expected a string, got float64"),
        ("{{ 1e300 | humanizeTimestamp }}", "cannot be represented as a time"),
        ("{{ reReplaceAll `(` `` `` }}", "bad regular expression"),
        ("{{ $labels.job.more }}", "has no fields"),
    ],
)
def test_a_function_that_cannot_take_its_value_says_so(template: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        expand(template, LABELS, VALUE)


def test_the_place_that_a_template_is_expanded_in() -> None:
    external = External({"region": "eu"}, "https://prometheus.example.org/p")
    text = "{{ $externalLabels.region }} {{ $externalURL }} {{ externalURL }} {{ pathPrefix }}"
    url = "https://prometheus.example.org/p"
    assert expand(text, {}, 0.0, external) == f"eu {url} {url} /p"


@pytest.mark.parametrize(("value", "text"), [(math.nan, "NaN"), (math.inf, "+Inf"), (-math.inf, "-Inf")])
def test_special_numbers_are_shown_as_they_are(value: float, text: str) -> None:
    assert expand("{{ $value | humanize }}", {}, value) == text
    assert expand("{{ $value | humanizeDuration }}", {}, value) == text
    assert expand("{{ $value }}", {}, value) == text
    assert expand("{{ $value | humanizePercentage }}", {}, value) == f"{text}%"


@given(st.text(max_size=60), st.floats())
def test_any_text_is_expanded_or_refused(text: str, value: float) -> None:
    for template in (text, "{{" + text + "}}"):
        try:
            assert isinstance(expand(template, LABELS, value), str)
        except TemplateError as error:
            assert 0 <= error.start <= error.end <= len(template)  # noqa: PT017


@given(st.text("%dsvfgq.+-0# 123", max_size=12))
def test_any_format_gives_a_text(template: str) -> None:
    assert isinstance(sprintf(template, 1.5, "x", 3), str)
