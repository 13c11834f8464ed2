"""What the runbook says that only other packages can judge is judged when it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchkeeper.app.policy import read_policy
from watchkeeper.runbook.errors import RunbookError

RUNBOOK = """\
runbook: 1
platform: Test
metrics:
  scrape_configs:
    - job_name: api
      relabel_configs:
        - {action: labeldrop, regex: "tmp_.*"}
        - {action: replace, regex: "a("}
"""


def test_a_relabelling_rule_that_makes_no_sense_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "runbook.yaml"
    path.write_text(RUNBOOK)
    with pytest.raises(RunbookError, match=r"runbook\.yaml:8:11.*relabel_configs\.1.*regex"):
        read_policy(path, None)


def test_relabelling_rules_that_make_sense_are_read(tmp_path: Path) -> None:
    path = tmp_path / "runbook.yaml"
    path.write_text(RUNBOOK.replace("a(", "a").replace("replace,", "drop,"))
    assert len(read_policy(path, None).runbook.metrics.scrape_configs[0].relabel_configs) == 2
