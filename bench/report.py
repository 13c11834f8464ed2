"""How a bench says what it found: a table for people, then one JSON object as the last line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence


def report(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], result: Mapping[str, object]
) -> None:
    """Print ``rows`` under ``header``, and ``result`` as JSON on the last line.

    ``result`` has ``violations`` (what must be zero) and, where there is a peer, ``ratio`` (peer divided by
    us in the headline figure: above 1, we are better).
    """
    table = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    print(title)
    for number, row in enumerate(table):
        cells = [
            cell.ljust(widths[0]) if not column else cell.rjust(widths[column])
            for column, cell in enumerate(row)
        ]
        print("  " + "  ".join(cells).rstrip())
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))
    print(json.dumps(dict(result)), flush=True)
