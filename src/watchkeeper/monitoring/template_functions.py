"""The functions of Prometheus' templates, with the results that Go gives.

Always true: a function takes the types that Go's has (a number is a float or an int, never both), and
raises :class:`TemplateValueError` with Go's reason for anything else; nothing here looks at the clock or
the network. Source: https://prometheus.io/docs/prometheus/latest/configuration/template_reference/
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

import re2

from watchkeeper.monitoring.promql.durations import parse_duration
from watchkeeper.monitoring.promql.numbers import general, parse_float
from watchkeeper.monitoring.promql.result import go_quote

Value = Any
"""What a template computes with: str, float, int, bool, None, or a mapping of strings."""


class TemplateValueError(ValueError):
    """A function that cannot take the value it was given."""


def printed(value: Value) -> str:
    """``value`` as Go's ``fmt.Print`` writes it."""
    match value:
        case None:
            return "<no value>"
        case bool():
            return "true" if value else "false"
        case float():
            return general(value)
        case Mapping():
            return f"map[{' '.join(f'{key}:{item}' for key, item in sorted(value.items()))}]"
        case _:
            return str(value)


def truth(value: Value) -> bool:
    """Does ``if`` take the branch? Zero, nothing and what is empty are false; NaN is true."""
    return bool(value)


# -- numbers for people ------------------------------------------------------------------------


def _float(value: Value) -> float:
    if isinstance(value, str):
        number = parse_float(value)
        if number is None:
            raise TemplateValueError(f"not a number: {value!r}")
        return number
    if isinstance(value, bool) or not isinstance(value, float | int):
        raise TemplateValueError(f"can't convert {_kind(value)} to float")
    return float(value)


def _scaled(value: float, prefixes: Sequence[str], factor: float) -> str:
    """``value`` divided by ``factor`` until it is below it."""
    shown = ""
    for prefix in prefixes:
        if abs(value) < factor:
            break
        shown, value = prefix, value / factor
    return general(value, 4) + shown


def _magnified(value: float) -> str:
    """``value``, below one, times a thousand until it is not."""
    shown = ""
    for prefix in ("m", "u", "n", "p", "f", "a", "z", "y"):
        if abs(value) >= 1:
            break
        shown, value = prefix, value * 1000
    return general(value, 4) + shown


def humanize(value: Value) -> str:
    """With a metric prefix: ``1234567`` is ``1.235M``."""
    number = _float(value)
    if number == 0 or not math.isfinite(number):
        return general(number, 4)
    if abs(number) >= 1:
        return _scaled(number, ("k", "M", "G", "T", "P", "E", "Z", "Y"), 1000)
    return _magnified(number)


def humanize1024(value: Value) -> str:
    """With a binary prefix: ``2048`` is ``2ki``."""
    number = _float(value)
    if abs(number) <= 1 or not math.isfinite(number):
        return general(number, 4)
    return _scaled(number, ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"), 1024)


def humanize_duration(value: Value) -> str:
    """Seconds as ``1d 2h 3m 4s``, ``12.5s`` or ``3ms``."""
    number = _float(value)
    if not math.isfinite(number):
        return general(number, 4)
    if number == 0:
        return "0s"
    if abs(number) < 1:
        return _magnified(number) + "s"
    sign, number = ("-", -number) if number < 0 else ("", number)
    whole = int(number)
    days, hours, minutes, seconds = whole // 86400, whole // 3600 % 24, whole // 60 % 60, whole % 60
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{sign}{general(number, 4)}s"


def humanize_percentage(value: Value) -> str:
    """A ratio in percent: ``0.05`` is ``5%``."""
    return general(_float(value) * 100, 4) + "%"


def humanize_timestamp(value: Value) -> str:
    """Unix seconds as a UTC time."""
    number = _float(value)
    if not math.isfinite(number):
        return general(number, 4)
    try:
        time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(number * 1000))
    except OverflowError:
        raise TemplateValueError(f"{general(number)} cannot be represented as a time") from None
    fraction = f".{time.microsecond:06d}".rstrip("0").rstrip(".") if time.microsecond else ""
    return f"{time:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


# -- text --------------------------------------------------------------------------------------


def _text(value: Value) -> str:
    if not isinstance(value, str):
        raise TemplateValueError(f"expected a string, got {_kind(value)}")
    return value


def _title(value: Value) -> str:
    return re.sub(r"\b\w", lambda first: first[0].upper(), _text(value))


def _split_port(text: str) -> tuple[str, str] | None:
    match = re.fullmatch(r"(?:\[([^\[\]]*)\]|([^:\[\]]*)):([^:\[\]]*)", text)
    return None if match is None else (match[1] if match[1] is not None else match[2], match[3])


def _strip_port(value: Value) -> str:
    text = _text(value)
    split = _split_port(text)
    return text if split is None else split[0]


def _strip_domain(value: Value) -> str:
    text = _text(value)
    host, port = _split_port(text) or (text, "")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        name = host.split(".")[0]
        return f"{name}:{port}" if port else name
    return text


def _compiled(pattern: Value) -> Any:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(_text(pattern), options)
    except re2.error as error:
        raise TemplateValueError(f"bad regular expression {pattern!r}: {error}") from None


def _match(pattern: Value, text: Value) -> bool:
    return _compiled(pattern).search(_text(text)) is not None


def _replace_all(pattern: Value, replacement: Value, text: Value) -> str:
    regex, template = _compiled(pattern), _text(replacement)

    def expanded(match: Any) -> str:
        def group(reference: re.Match[str]) -> str:
            name = reference[1] or reference[2]
            if reference[0] == "$$":
                return "$"
            try:
                return match.group(int(name) if name.isdigit() else name) or ""
            except (IndexError, KeyError):
                return ""

        return re.sub(r"\$\$|\$\{(\w+)\}|\$(\w+)", group, template)

    return str(regex.sub(expanded, _text(text)))


def _parse_duration(value: Value) -> float:
    text = _text(value)
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    try:
        return sign * parse_duration(digits) / 1000
    except ValueError as error:
        raise TemplateValueError(str(error)) from None


# -- Go's own ----------------------------------------------------------------------------------

_VERB = re.compile(r"%([-+# 0]*)(\d+)?(?:\.(\d+)?)?(\[\d+\])?(.)?", re.DOTALL)


def sprintf(template: Value, *arguments: Value) -> str:
    """Go's ``fmt.Sprintf`` for strings, numbers and booleans. A misfit shows in the text, as in Go."""
    text, pending, out, position = _text(template), list(arguments), [], 0
    for match in _VERB.finditer(text):
        out.append(text[position : match.start()])
        position = match.end()
        if match[5] == "%":
            out.append("%")
        elif match[5] is None:
            out.append("%!(NOVERB)")
        elif match[4]:
            raise TemplateValueError("argument indexes in printf are not supported")
        elif not pending:
            out.append(f"%!{match[5]}(MISSING)")
        else:
            out.append(_formatted(match, pending.pop(0)))
    out.append(text[position:])
    if pending:
        extra = ", ".join(f"{_kind(item)}={printed(item)}" for item in pending)
        out.append(f"%!(EXTRA {extra})")
    return "".join(out)


def _formatted(match: re.Match[str], value: Value) -> str:
    flags, verb = match[1], match[5]
    precision = (int(match[3]) if match[3] else 0) if "." in match[0] else None
    body = _body(verb, value, precision, match)
    if body is None:
        return f"%!{verb}({_kind(value)}={printed(value)})"
    number = isinstance(value, float | int) and not isinstance(value, bool) and verb not in "sq"
    if number and "+" in flags and body[0] not in "+-":
        body = "+" + body
    elif number and " " in flags and body[0] not in "+-":
        body = " " + body
    width = int(match[2] or 0)
    if "-" in flags:
        return body.ljust(width)
    if "0" in flags and number and body.lstrip("+-")[:1].isdigit():
        return body.zfill(width)
    return body.rjust(width)


def _body(verb: str, value: Value, precision: int | None, match: re.Match[str]) -> str | None:
    """``value`` under ``verb``, without sign and width; None where the verb is not for it."""
    if isinstance(value, bool):
        return printed(value) if verb in "tv" else None
    if isinstance(value, float):
        return _float_body(verb, value, precision)
    if isinstance(value, int):
        bases = {"d": "d", "v": "d", "x": "x", "X": "X", "o": "o", "b": "b"}
        return format(value, bases[verb]) if verb in bases else None
    if isinstance(value, str):
        if verb in "sv":
            return value if precision is None else value[:precision]
        return go_quote(value) if verb == "q" else None
    return printed(value) if verb in "vs" else None


def _float_body(verb: str, value: float, precision: int | None) -> str | None:
    if verb not in "feEgGvF":
        return None
    if not math.isfinite(value):
        return general(value)
    if verb in "gGv":
        text = general(value, precision)
        return text.upper() if verb == "G" else text
    return format(value, f".{6 if precision is None else precision}{verb}")


def _print(*values: Value) -> str:
    """Go's ``fmt.Sprint``: a space between two operands of which neither is a string."""
    out = ""
    for position, value in enumerate(values):
        if position and not isinstance(value, str) and not isinstance(values[position - 1], str):
            out += " "
        out += printed(value)
    return out


def _length(value: Value) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Mapping):
        return len(value)
    raise TemplateValueError(f"len of type {_kind(value)}")


def _index(value: Value, key: Value) -> Value:
    if isinstance(value, Mapping):
        return value.get(_text(key), "")
    raise TemplateValueError(f"can't index item of type {_kind(value)}")


def _kind(value: Value) -> str:
    """Go's name for the type of ``value``."""
    kinds = {bool: "bool", float: "float64", int: "int", str: "string", type(None): "nil"}
    return kinds.get(type(value), "map")


def _ordered(value: Value, other: Value) -> tuple[Value, Value]:
    if _kind(value) != _kind(other) or _kind(value) not in ("float64", "int", "string"):
        reason = f"{_kind(value)} and {_kind(other)}"
        raise TemplateValueError(f"incompatible types for comparison: {reason} (write 5.0 for the number 5)")
    return value, other


def _equal(value: Value, *others: Value) -> bool:
    if not others:
        raise TemplateValueError("missing argument for comparison")
    for other in others:
        if _kind(value) != _kind(other):
            _ordered(value, other)
    return any(value == other for other in others)


def _less(value: Value, other: Value) -> bool:
    value, other = _ordered(value, other)
    return bool(value < other)


def _less_or_equal(value: Value, other: Value) -> bool:
    value, other = _ordered(value, other)
    return bool(value <= other)


FUNCTIONS: dict[str, tuple[Callable[..., Value], int, int | None]] = {
    "eq": (_equal, 2, None),
    "ge": (lambda value, other: _less_or_equal(other, value), 2, 2),
    "gt": (lambda value, other: _less(other, value), 2, 2),
    "humanize": (humanize, 1, 1),
    "humanize1024": (humanize1024, 1, 1),
    "humanizeDuration": (humanize_duration, 1, 1),
    "humanizePercentage": (humanize_percentage, 1, 1),
    "humanizeTimestamp": (humanize_timestamp, 1, 1),
    "index": (_index, 2, 2),
    "le": (_less_or_equal, 2, 2),
    "len": (_length, 1, 1),
    "lt": (_less, 2, 2),
    "match": (_match, 2, 2),
    "ne": (lambda value, other: not _equal(value, other), 2, 2),
    "not": (lambda value: not truth(value), 1, 1),
    "parseDuration": (_parse_duration, 1, 1),
    "print": (_print, 0, None),
    "printf": (sprintf, 1, None),
    "println": (lambda *values: " ".join(map(printed, values)) + "\n", 0, None),
    "reReplaceAll": (_replace_all, 3, 3),
    "safeHtml": (_text, 1, 1),
    "stripDomain": (_strip_domain, 1, 1),
    "stripPort": (_strip_port, 1, 1),
    "title": (_title, 1, 1),
    "toLower": (lambda value: _text(value).lower(), 1, 1),
    "toUpper": (lambda value: _text(value).upper(), 1, 1),
    "urlquery": (lambda *values: quote_plus(_print(*values)), 1, None),
    "urlQueryEscape": (lambda value: quote_plus(_text(value)), 1, 1),
}
"""By name: the function, and how many arguments it takes at least and at most (None: any number)."""

UNSUPPORTED_FUNCTIONS = frozenset(
    {
        *(
            "args",
            "call",
            "first",
            "graphLink",
            "html",
            "js",
            "label",
            "now",
            "query",
            "slice",
            "sortByLabel",
        ),
        *("strvalue", "tableLink", "tmpl", "toDuration", "toTime", "value"),
    }
)
"""Functions that Prometheus has and we do not: they query, or they are of no use in an alert."""
