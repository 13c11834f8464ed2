from __future__ import annotations

from watchkeeper.runbook.models.monitoring import Signal, Threshold
from watchkeeper.runbook.models.playbooks import Step, Undo
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.schema import keys_of, model_at, required_keys


def test_the_model_at_a_path_is_known_through_lists_mappings_and_options() -> None:
    assert model_at(()) is Runbook
    assert model_at(("monitoring", "layers", 0, "signals", 3)) is Signal
    assert model_at(("monitoring", "layers", 0, "signals", 3, "page", 0)) is Threshold
    assert model_at(("playbooks", "any-name", "steps", 1)) is Step
    assert model_at(("playbooks", "any-name", "steps", 1, "undo")) is Undo


def test_where_no_model_stands_there_is_none() -> None:
    assert model_at(("platform",)) is None
    assert model_at(("nowhere", "at", "all")) is None


def test_keys_are_written_as_in_the_file() -> None:
    assert {"for", "over", "above"} <= set(keys_of(Threshold))
    assert "for_" not in keys_of(Threshold)
    assert required_keys(Signal) == ["id", "title", "expr"]
