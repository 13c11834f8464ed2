"""The role ``work``: delivers what the outbox holds, escalates pages, keeps incidents, runs
playbooks and jobs, until told to stop.

Always true: a runbook that cannot be used leaves the last good one in place, and says so; when one of these
ends by itself, so does the role, to be begun anew (tests/app/test_work.py, test_serve.py); what an
evaluation on this machine enqueued is sent at once, because the role is woken (tests/app/test_work.py); what
came from elsewhere, at the next poll.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from watchkeeper.app import inforce, signals, wire
from watchkeeper.app.escalating import Escalating
from watchkeeper.app.inbound import InboundAnswers
from watchkeeper.app.jobs import jobs_of
from watchkeeper.app.metrics import families_json, new_registry
from watchkeeper.app.responding import Responding
from watchkeeper.app.scheduling import Scheduling
from watchkeeper.app.settings import Settings
from watchkeeper.app.verbs import Parts, build_verbs
from watchkeeper.notify import state
from watchkeeper.notify.delivery import Deliverer
from watchkeeper.notify.receivers import Receiver, build_receivers
from watchkeeper.notify.transport import HttpTransport
from watchkeeper.playbooks import rows as run_rows
from watchkeeper.playbooks.runner import Runner
from watchkeeper.runbook.models.notifications import Receiver as ReceiverLine
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.models.secrets import Secret, SecretMissingError
from watchkeeper.store import outbox
from watchkeeper.store.canonical import rfc3339
from watchkeeper.store.clock import Clock, SystemClock
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.errors import StoreError

log = logging.getLogger(__name__)


class _Deliveries:
    """The delivery's own metrics."""

    def __init__(self, deliverer: Deliverer, store: Store) -> None:
        self._deliverer = deliverer
        self._store = store

    def collect(self) -> list[Metric]:
        attempts = CounterMetricFamily(
            "watchkeeper_notification_attempts", "Requests to receivers.", labels=["receiver", "outcome"]
        )
        for (receiver, outcome), count in self._deliverer.totals.items():
            attempts.add_metric([receiver, outcome.replace(" ", "_")], count)
        waiting = GaugeMetricFamily(
            "watchkeeper_outbox_waiting", "Notifications that no receiver has yet.", labels=["receiver"]
        )
        with contextlib.suppress(StoreError), self._store.read() as conn:
            for receiver, (count, _) in outbox.backlog(conn).items():
                waiting.add_metric([receiver], count)
        return [attempts, waiting]


class _Runs:
    """The runner's own metrics."""

    def __init__(self, runner: Runner, store: Store) -> None:
        self._runner = runner
        self._store = store

    def collect(self) -> list[Metric]:
        steps = CounterMetricFamily(
            "watchkeeper_playbook_steps", "Steps, looks and checks of playbooks that were carried out."
        )
        steps.add_metric([], self._runner.steps)
        runs = GaugeMetricFamily(
            "watchkeeper_playbook_runs", "Runs of playbooks that are not over.", labels=["state"]
        )
        with contextlib.suppress(StoreError), self._store.read() as conn:
            for state_name, count in run_rows.counts(conn).items():
                runs.add_metric([state_name], count)
        return [steps, runs]


def run_work(settings: Settings) -> int:
    """Run the role until SIGTERM or SIGINT; the exit code: 1 where it could not begin or had to end."""
    clock = SystemClock()
    try:
        runbook = inforce.choose(settings).loaded.runbook
        store = open_store(settings.state, clock)
    except (*inforce.UNUSABLE, StoreError) as error:
        log.error("%s", error)
        return 1
    with store:
        try:
            return asyncio.run(Work(settings, clock, store, runbook).run())
        except (wire.InUseError, OSError) as error:
            log.error("%s", error)
            return 1


class Work:
    """The role; :meth:`run` is its whole life."""

    def __init__(self, settings: Settings, clock: Clock, store: Store, runbook: Runbook) -> None:
        self._settings = settings
        self._clock = clock
        self._store = store
        self._stop = threading.Event()
        self.deliverer = Deliverer(store, (), clock)
        self.escalating = Escalating(store, clock, runbook)
        self.responding = Responding(store, clock, runbook)
        self.inbound = InboundAnswers(store, clock, runbook)
        self.runner = Runner(store, clock, {}, folder=settings.runbook.parent)
        self.scheduling = Scheduling(store, clock, ())
        self._registry: CollectorRegistry = new_registry()
        self._registry.register(_Deliveries(self.deliverer, store))
        self._registry.register(_Runs(self.runner, store))
        self._receivers: dict[str, Receiver] = {}
        self._lines: Iterable[ReceiverLine] = ()
        self._use(runbook)

    def _use(self, runbook: Runbook) -> None:
        self._receivers, problems = build_receivers(
            runbook.notifications.receivers,
            HttpTransport(self._clock),
            os.environ,
            platform=runbook.platform,
            client_url=self._settings.url,
        )
        self._lines = runbook.notifications.receivers
        self.deliverer.replace_receivers(self._receivers.values())
        self.escalating.use(runbook)
        self.responding.use(runbook)
        self.inbound.use(runbook)
        self.runner.use(build_verbs(Parts(self._settings, self._store, self._clock, runbook)))
        self.scheduling.use(jobs_of(self._settings, runbook))
        for problem in (*problems, *missing_secrets(self._lines)):
            log.warning("%s", problem)

    def handlers(self) -> dict[str, wire.Handler]:
        """By the name of the question."""
        own = {"ready": self._ready, "metrics": self._metrics, "wake": self._wake}
        return {**own, **self.inbound.handlers()}

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        stopped, failed = asyncio.Event(), asyncio.Event()
        signals.obey(loop, end=stopped.set, reload=self._reload)

        def keep_up(work: Callable[[threading.Event], None], name: str) -> None:
            try:
                work(self._stop)
            except Exception:
                log.exception("%s ended by a defect; the role is begun anew", name)
            if not self._stop.is_set():
                loop.call_soon_threadsafe(failed.set)
                loop.call_soon_threadsafe(stopped.set)

        work = {
            "delivery": self.deliverer.run,
            "escalation": self.escalating.run,
            "incidents": self.responding.run,
            "playbooks": self.runner.run,
            "the scheduler": self.scheduling.run,
        }
        threads = [
            threading.Thread(target=keep_up, args=(run, name), name=name) for name, run in work.items()
        ]
        for thread in threads:
            thread.start()
        try:
            async with await wire.serve(self._settings.work_socket, self.handlers()):
                await stopped.wait()
        finally:
            self._stop.set()
            self.runner.wake()
            for thread in threads:
                await asyncio.to_thread(thread.join)
        return 1 if failed.is_set() else 0

    def _reload(self) -> None:
        try:
            self._use(inforce.usable(self._settings).runbook)
        except inforce.UNUSABLE as error:
            log.error("the runbook on disk is not used, the receivers stay as they were: %s", error)
        except Exception:
            # A defect met in a file must not keep the signal's handler from being called again.
            log.exception("the receivers stay as they were, because of a defect of Watchkeeper")

    async def _ready(self, _: dict[str, Any]) -> bytes:
        problems = await asyncio.to_thread(self._problems)
        notes = await asyncio.to_thread(self._notes)
        return json.dumps({"problems": problems, "notes": notes}).encode()

    def _notes(self) -> list[str]:
        """What else somebody should look at, in sentences."""
        with contextlib.suppress(StoreError):  # which is a problem, and said there
            notes = [*self.escalating.notes(), *self.scheduling.notes()]
            return [*notes, *missing_secrets(self._lines)]
        return missing_secrets(self._lines)

    def _problems(self) -> list[str]:
        """Why pages cannot be relied on to arrive right now, in sentences."""
        try:
            with self._store.read() as conn:
                known = {name: state.load(conn, name)[1] for name in self._receivers}
        except StoreError as error:
            return [str(error)]
        return [
            f"receiver {name} has taken nothing since {rfc3339(health.failing_since)}: {health.last_error}"
            for name, health in known.items()
            if health.down and health.failing_since is not None
        ]

    async def _wake(self, _: dict[str, Any]) -> bytes:
        """Something was put into the outbox, or a run has something to do; without this it is found at the
        next look, a moment later."""
        self.deliverer.wake()
        self.runner.wake()
        return b"true"

    async def _metrics(self, _: dict[str, Any]) -> bytes:
        return await asyncio.to_thread(families_json, self._registry)


def missing_secrets(lines: Iterable[ReceiverLine]) -> list[str]:
    """A sentence for each secret of a receiver that cannot be read now: better said before the first page."""
    found = []
    for line in lines:
        for secret in dict(line.settings).values():
            if isinstance(secret, Secret):
                try:
                    secret.read(os.environ)
                except SecretMissingError as error:
                    found.append(f"receiver {line.id}: {error}")
    return found
