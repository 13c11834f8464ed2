"""Runs the registered jobs of one store: looks what is due, takes it, and runs it in a thread of its own.

Always true: no job runs in the thread that decides, so none delays another's time or lease; what a process
takes it writes an end for, and where it cannot (it was killed), the next one does; a job that does not end
when its time is over is asked to stop and held until it has, because nothing can end a thread: it is never
begun a second time beside itself (tests/app/test_scheduling.py).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from watchkeeper.store import job_rows, owners
from watchkeeper.store import jobs as pure
from watchkeeper.store.clock import Clock
from watchkeeper.store.database import Store
from watchkeeper.store.errors import StoreError
from watchkeeper.store.job_rows import Claim, Watcher
from watchkeeper.store.jobs import Context, Job, JobError, JobStoppedError, Outcome

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
TROUBLE_SECONDS = 5.0
RENEW_SECONDS = 10.0
AT_ONCE = 2
"""So many jobs run at a time in one process; what else is due waits for the next look."""
END_SECONDS = 5.0
"""How long jobs have to end when the process does."""


@dataclass
class _Run:
    """A job under way."""

    claim: Claim
    job: Job
    context: Context
    began: float
    renewed: float
    result: Outcome | BaseException | None = None
    overdue: bool = False
    ended: threading.Event = field(default_factory=threading.Event)


class Scheduling:
    """The scheduler of one process. Several of them, in any number of processes, may share a store.

    ``owner`` names this process (:func:`watchkeeper.store.owners.this_process`).
    """

    def __init__(self, store: Store, clock: Clock, jobs: Iterable[Job], owner: str | None = None) -> None:
        self._store = store
        self._clock = clock
        self._owner = owner or owners.this_process()
        self._watcher = Watcher()
        self._runs: dict[str, _Run] = {}
        self._jobs: dict[str, Job] = {}
        self._wanted: dict[str, Job] | None = None
        self.use(jobs)

    def use(self, jobs: Iterable[Job]) -> None:
        """The jobs there are, after the runbook was read; the next look goes by them."""
        self._wanted = {job.name: job for job in jobs}

    def run(self, stop: threading.Event) -> None:
        """Look once a second until ``stop`` is set; then ask what runs to stop, and wait a moment for it."""
        while not stop.is_set():
            wait = LOOK_SECONDS
            try:
                self.look()
            except StoreError as error:
                log.error("jobs are not begun for now: %s", error)
                wait = TROUBLE_SECONDS
            except Exception:
                # A defect must not end the thread: no job would ever run again. It is logged whole.
                log.exception("jobs are not begun for now, because of a defect of Watchkeeper")
                wait = TROUBLE_SECONDS
            stop.wait(wait)
        self._end()

    def look(self) -> int:
        """Write what ended, keep what runs, begin what is due; how many were begun."""
        wanted = self._wanted
        if wanted is not None:
            with self._store.write() as conn:
                job_rows.register(conn, self._clock.now(), wanted.values(), begin=True)
            self._jobs = wanted
            if self._wanted is wanted:
                self._wanted = None
        for run in list(self._runs.values()):
            self._keep(run)
        return sum(self._begin(job) for job in self._due())

    def wait(self, seconds: float) -> bool:
        """Wait for everything that runs to end; whether it has. Its end is written at the next look."""
        return all(run.ended.wait(seconds) for run in list(self._runs.values()))

    def notes(self) -> list[str]:
        """Which jobs did not end well, in sentences."""
        with self._store.read() as conn:
            return job_rows.problems(conn)

    def _due(self) -> list[Job]:
        """The jobs about which there is something to write; those of which this process holds one, too."""
        now, monotonic, found = self._clock.now(), self._clock.monotonic(), []
        with self._store.read() as conn:
            known = job_rows.listing(conn)
        for row in known:
            job = self._jobs.get(row.name)
            if job is None:
                continue
            state, events = pure.decide(row.state, job, now, lost=self._watcher.lost(row, monotonic))
            if events or state != row.state:
                found.append(job)
        return found

    def _begin(self, job: Job) -> bool:
        mine = self._runs.get(job.name)
        if mine is None and len(self._runs) >= AT_ONCE:
            return False
        monotonic = self._clock.monotonic()
        with self._store.write() as conn:
            claim = job_rows.look(conn, self._clock.now(), job, self._owner, self._watcher, monotonic)
        if claim is None:
            return False
        if mine is not None:  # another process took it, and lost it; our thread still runs it: not beside it
            with self._store.write() as conn:
                error = "this process still runs an earlier attempt that did not stop"
                job_rows.finish(conn, self._clock.now(), claim, job, error)
            return False
        context = Context(self._store, self._clock, job.name, claim.due, claim.attempt)
        run = self._runs[job.name] = _Run(claim, job, context, monotonic, monotonic)
        _thread(run).start()
        return True

    def _keep(self, run: _Run) -> None:
        """Write the end of a run that ended; renew what goes on, and say where its time is over."""
        if run.ended.is_set():
            with self._store.write() as conn:
                _finish(conn, self._clock, run)
            del self._runs[run.job.name]
            return
        now = self._clock.monotonic()
        if not run.overdue and now - run.began >= run.job.timeout.total_seconds():
            run.context.stopping.set()
            with self._store.write() as conn:
                job_rows.overdue(conn, self._clock.now(), run.claim, run.job)
            run.overdue = True
            log.error("job %s has run for all the time it may; it was asked to stop", run.job.name)
        if now - run.renewed >= RENEW_SECONDS:
            with self._store.write() as conn:
                kept = job_rows.renew(conn, self._clock.now(), run.claim)
            run.renewed = now
            if not kept and not run.context.stopping.is_set():
                log.error("job %s was taken over by another process; ours was asked to stop", run.job.name)
                run.context.stopping.set()

    def _end(self) -> None:
        for run in self._runs.values():
            run.context.stopping.set()
        end = self._clock.monotonic() + END_SECONDS
        for run in list(self._runs.values()):
            run.ended.wait(max(0.0, end - self._clock.monotonic()))
            if not run.ended.is_set():
                log.error("job %s did not stop; the next process takes it over", run.job.name)
                continue
            try:
                with self._store.write() as conn:
                    _finish(conn, self._clock, run)
            except StoreError as error:
                log.error("how job %s ended was not recorded: %s", run.job.name, error)


def run_now(store: Store, clock: Clock, job: Job, actor: str) -> Outcome | None:
    """Run ``job`` in this process, because ``actor`` asks for it; None where somebody runs it already.

    Raises what the job raised, after it is journaled.
    """
    owner = owners.this_process()
    with store.write() as conn:
        claim = job_rows.take(conn, clock.now(), job, owner, actor)
    if claim is None:
        return None
    context = Context(store, clock, job.name, claim.due, claim.attempt)
    run = _Run(claim, job, context, clock.monotonic(), clock.monotonic())
    _thread(run).start()
    try:
        while not run.ended.wait(RENEW_SECONDS):
            with store.write() as conn:
                job_rows.renew(conn, clock.now(), claim)
            if clock.monotonic() - run.began >= job.timeout.total_seconds():
                context.stopping.set()
    except BaseException:
        context.stopping.set()
        run.ended.wait(END_SECONDS)
        run.result = run.result or JobStoppedError("whoever ran it by hand ended it")
        raise
    finally:
        with store.write() as conn:
            _finish(conn, clock, run)
    if isinstance(run.result, Outcome):
        return run.result
    assert run.result is not None
    raise run.result


def _thread(run: _Run) -> threading.Thread:
    # A daemon: a job that does not stop must not keep the process from ending.
    return threading.Thread(target=_work, args=(run,), name=f"job {run.job.name}", daemon=True)


def _work(run: _Run) -> None:
    """The thread of one run."""
    try:
        run.result = run.job.run(run.context)
    except (JobError, StoreError) as error:
        run.result = error
    except BaseException as error:
        # A defect of one job is its failure, not the scheduler's. It is logged whole.
        log.exception("job %s met a defect of Watchkeeper", run.job.name)
        run.result = JobError(f"a defect of Watchkeeper ({type(error).__name__}); the log says more")
    finally:
        run.ended.set()


def _finish(conn: Connection, clock: Clock, run: _Run) -> None:
    result = run.result
    if isinstance(result, Outcome) and not run.overdue:
        job_rows.finish(conn, clock.now(), run.claim, run.job, result)
        if not result.ok:
            log.error("job %s: %s", run.job.name, result.summary)
        return
    kind, error = "failed", str(result)
    if run.overdue:
        kind, error = "timed out", f"it ran longer than it may ({run.job.timeout})"
    elif isinstance(result, JobStoppedError):
        kind = "stopped"
    job_rows.finish(conn, clock.now(), run.claim, run.job, error, kind)
    if kind != "stopped":
        log.error("job %s %s: %s", run.job.name, kind, error)
