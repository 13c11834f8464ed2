"""Our own metrics: every role collects its own, the HTTP side puts them together under the label ``role``.

Families cross the wire as plain JSON. Nothing is kept globally: a role makes one registry and hands it on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder


def new_registry() -> CollectorRegistry:
    """A registry that already knows this process' CPU, memory and open files."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def families_json(registry: CollectorRegistry) -> bytes:
    """What ``registry`` holds now, as a JSON document."""
    families = [
        {
            "name": family.name,
            "type": family.type,
            "help": family.documentation,
            "samples": [[s.name, s.labels, s.value] for s in family.samples],
        }
        for family in registry.collect()
    ]
    return json.dumps(families).encode()


class _Merged:
    """Families of several roles, as one collector."""

    def __init__(self, documents: Mapping[str, bytes]) -> None:
        self._documents = documents

    def collect(self) -> Iterable[Metric]:
        merged: dict[str, Metric] = {}
        for role, document in self._documents.items():
            for family in json.loads(document):
                metric = merged.get(family["name"])
                if metric is None:
                    metric = merged[family["name"]] = Metric(family["name"], family["help"], family["type"])
                for name, labels, value in family["samples"]:
                    metric.add_sample(name, {**labels, "role": role}, value)
        for metric in merged.values():  # a histogram's lines must stand together, series by series
            metric.samples.sort(
                key=lambda sample: sorted((k, v) for k, v in sample.labels.items() if k != "le")
            )
        return merged.values()


def render(documents: Mapping[str, bytes], accept: str) -> tuple[bytes, str]:
    """The exposition of the roles' families and its content type, in the form that ``accept`` asks for."""
    registry = CollectorRegistry()
    registry.register(_Merged(documents))
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type
