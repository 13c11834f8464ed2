"""The child of ``python.call``: ``python -P call_child.py module:function RESULT``, arguments on stdin."""

import importlib
import json
import sys


def main(target: str, result: str) -> int:
    """Call it; the exit code is 1 where it raised, and the error is the last line on standard error."""
    module, _, name = target.partition(":")
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        returned = found(**json.load(sys.stdin))  # type: ignore[operator]
        with open(result, "w", encoding="utf-8") as file:
            json.dump(returned, file)
    except Exception as error:  # noqa: BLE001 - whatever it is, the step tells it to people
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201 - how the parent hears of it
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
