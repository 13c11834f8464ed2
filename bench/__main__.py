"""``python -m bench NAME [arguments]`` runs one bench; without a name, it lists them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

_SCAFFOLDING = {"__main__", "__init__", "report", "prometheus", "exporters", "processes", "scraping"}


def names() -> list[str]:
    """The benches there are."""
    return sorted(
        path.stem.replace("_", "-")
        for path in Path(__file__).parent.glob("*.py")
        if path.stem not in _SCAFFOLDING
    )


def main(argv: list[str]) -> int:
    """Run the bench that ``argv`` names with the rest of the arguments."""
    if not argv or argv[0] not in names():
        print(f"usage: python -m bench NAME [arguments]; the benches are: {', '.join(names())}")
        return 2
    status: int = importlib.import_module(f"bench.{argv[0].replace('-', '_')}").main(argv[1:])
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
