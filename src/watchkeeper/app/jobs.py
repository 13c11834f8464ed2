"""The jobs of Watchkeeper: what each does, and when, by the runbook. The role ``work`` runs them.

A new one is a function from a :class:`~watchkeeper.store.jobs.Context` to an outcome, and a line in
:func:`jobs_of`. What it proves, it says by the clauses it names (docs/jobs.md lists them; a test holds it to
that).
"""

from __future__ import annotations

import logging
from datetime import timedelta

from watchkeeper.app.settings import Settings
from watchkeeper.monitoring import links
from watchkeeper.runbook.models.calendar import Cadence
from watchkeeper.runbook.models.quantities import Period
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import backup, job_rows, journal
from watchkeeper.store.cron import Schedule, ScheduleError, cron, every
from watchkeeper.store.jobs import Context, Job, Outcome

log = logging.getLogger(__name__)

JITTER = timedelta(minutes=5)
KEEP_BACKUPS = 7
MOST_EARLY = timedelta(days=1)


def schedule_of(cadence: Cadence | Period, name: str) -> Schedule:
    """The schedule of a job called ``name`` that the runbook wants as often as ``cadence`` says.

    A cron line is gone by as it stands. Without one the job runs a tenth of the time early (at most a day),
    so that its evidence never gets older than the line allows.
    """
    if isinstance(cadence, Cadence):
        if cadence.cron is not None:
            try:
                return cron(cadence.cron, cadence.timezone)
            except ScheduleError as error:
                log.error("job %s goes by its period instead: %s", name, error)
        cadence = cadence.every
    whole = max(1, int(cadence.total_seconds()))
    early = min(whole // 10, int(MOST_EARLY.total_seconds()))
    interval = timedelta(seconds=max(1, whole - early))
    return every(interval).spread(name, min(JITTER, interval / 10))


def jobs_of(settings: Settings, runbook: Runbook) -> list[Job]:
    """Every job there is under ``runbook``."""
    return [_journal_verify(), _store_backup(settings), _link_check(settings, runbook)]


def _journal_verify() -> Job:
    return Job(
        name="journal-verify",
        title="Verifying the journal",
        schedule=cron("20 3 * * *").spread("journal-verify", JITTER),
        run=_verify,
        timeout=timedelta(hours=2),
    )


def _verify(context: Context) -> Outcome:
    with context.store.read() as conn:
        report = journal.verify(conn)
    facts = {"entries": report.entries, "head": report.head}
    if report.intact:
        return Outcome(f"{report.entries} entries, the chain is intact", facts=facts)
    said = (
        f"THE JOURNAL IS BROKEN at entry {report.broken}: {report.problem}. "
        "Keep a copy of the store as it is; `watchkeeper journal verify` says the same"
    )
    return Outcome(said, ok=False, facts={**facts, "broken": report.broken, "problem": report.problem})


def _store_backup(settings: Settings) -> Job:
    def copy(context: Context) -> Outcome:
        directory = settings.backups
        directory.mkdir(mode=0o700, exist_ok=True)
        path = directory / backup.dated_name(context.due, context.store)
        if path.exists():  # an attempt before this one made it, and died before it could say so
            made = backup.read_manifest(path)
        else:
            made = backup.back_up(context.store, context.clock, path, by=job_rows.ACTOR)
        gone = backup.prune(directory, KEEP_BACKUPS)
        said = f"{path.name} made and proved: {made.bytes} bytes, {made.entries} journal entries"
        return Outcome(
            said, facts={"path": str(path), "sha256": made.sha256, "head": made.head, "gone": gone}
        )

    return Job(
        name="store-backup",
        title="Copying the store",
        schedule=cron("40 3 * * *").spread("store-backup", JITTER),
        run=copy,
        timeout=timedelta(hours=2),
    )


def _link_check(settings: Settings, runbook: Runbook) -> Job:
    def follow(context: Context) -> Outcome:
        def ask(url: str) -> links.Page:
            context.check()
            return links.fetch_page(url)

        standing = links.check(runbook, settings.url, ask)
        return Outcome(standing.summary, facts=standing.facts, evidence=[(links.CLAUSE, standing.verdict)])

    return Job(
        name="link-check",
        title="Following the links of alerts",
        schedule=schedule_of(runbook.monitoring.hygiene.link_check.every, "link-check"),
        run=follow,
        timeout=timedelta(minutes=30),
        clauses=(links.CLAUSE,),
        at_start=True,
    )
