"""The durable runner: takes runs that are due, carries their steps out, and survives being killed anywhere.

Always true: what is recorded of a step is recorded once; what is attempted is attempted at least once, under
one idempotency key; of all the runners that share a store one at most carries out a run; one that loses a
lease stops its step and records nothing of it (tests/playbooks/test_runner.py, test_crashes.py,
test_crashes_long.py; ``python -m bench runner``).

    look -> claim -> turn (record, decide, record the beginning) -> carry out -> turn -> ... -> released
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from watchkeeper.playbooks import rows
from watchkeeper.playbooks.carrying_out import Surroundings, carry_out
from watchkeeper.playbooks.decide import Able
from watchkeeper.playbooks.leases import Held, Watched
from watchkeeper.playbooks.ports import Checking, Provider
from watchkeeper.playbooks.progress import Result
from watchkeeper.playbooks.rows import LeaseLost
from watchkeeper.playbooks.turn import Effect, Task, take_turn
from watchkeeper.store import owners
from watchkeeper.store.clock import Clock
from watchkeeper.store.database import Store
from watchkeeper.store.errors import StoreError

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
TROUBLE_SECONDS = 5.0
BEAT_SECONDS = 1.0
RENEW_SECONDS = 5.0
STOP_SECONDS = 5.0
STEPS_AT_ONCE = 8
"""Each is a thread that mostly waits. With fewer, long steps would keep an incident's playbook waiting."""


class Runner:
    """Carries out the runs of one store. Several of them, in any number of processes, may share it."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        providers: Mapping[str, Provider],
        *,
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
        at_once: int = STEPS_AT_ONCE,
    ) -> None:
        """``folder`` is the runbook's: relative paths in steps start from it."""
        self._store = store
        self._clock = clock
        self._environ = os.environ if environ is None else environ
        self._folder = folder or Path.cwd()
        self._owner = owners.this_process()
        self._watched = Watched()
        self._slots = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}
        self._woken = threading.Event()
        self._stop = threading.Event()
        self._over = threading.Event()
        self.steps = 0
        """Steps that this process carried out."""
        self.use(providers)

    def use(self, providers: Mapping[str, Provider], folder: Path | None = None) -> None:
        """Carry out with ``providers`` from the next step on."""
        self._providers = dict(providers)
        self._folder = folder or self._folder
        self._able = {
            verb: Able(isinstance(one, Checking), bool(getattr(one, "atomic", False)))
            for verb, one in providers.items()
        }

    def wake(self) -> None:
        """Look now: something was started or answered."""
        self._woken.set()

    def run(self, stop: threading.Event) -> None:
        """Carry out what is due until ``stop`` is set; then steps that end soon are waited for.

        A step that takes longer is stopped, and is in doubt as after a crash.
        """
        beat = threading.Thread(target=self._keep_beating, name="heartbeat", daemon=True)
        beat.start()
        while not stop.is_set():
            wait = LOOK_SECONDS
            try:
                if self._take_all():
                    wait = 0.0
            except StoreError as error:
                log.error("playbooks do not go on for now: %s", error)
                wait = TROUBLE_SECONDS
            except Exception:
                # A defect must not end the thread: no playbook would go on any more. It is logged whole.
                log.exception("playbooks do not go on for now, because of a defect of Watchkeeper")
                wait = TROUBLE_SECONDS
            if wait and self._woken.wait(wait):
                self._woken.clear()
            if stop.is_set():
                break
        self._end()
        beat.join()

    def look(self) -> int:
        """Carry out what is due now in this thread, one run after the other; how many runs that touched."""
        touched = 0
        while (held := self._take_one()) is not None:
            self._lead(held)
            touched += 1
        return touched

    def beat(self) -> None:
        """Renew every lease, and see which runs are to be aborted."""
        with self._lock:
            held = list(self._held.values())
        if not held:
            return
        began = self._clock.monotonic()
        stale = [one for one in held if one.left(began) < _renew_below()]
        if stale:
            with self._store.write() as conn:
                now = self._clock.now()
                kept = {
                    one.run_id: rows.renew(conn, now, one.run_id, self._owner, one.epoch) for one in stale
                }
            for one in stale:
                if kept[one.run_id]:
                    one.renewed(began)
                elif not one.released:
                    log.warning("run %s is another process' by now; its step is stopped", one.run_id)
                    one.lost.set()
        with self._store.read() as conn:
            aborting = rows.aborting(conn, [one.run_id for one in held])
        for one in held:
            if one.run_id in aborting:
                one.aborting.set()

    def _keep_beating(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            try:
                self.beat()
            except StoreError as error:
                log.warning("leases of runs are not renewed for now: %s", error)
            except Exception:
                # Without a heartbeat every long step would be stopped. It is logged whole.
                log.exception("leases of runs are not renewed for now, because of a defect of Watchkeeper")

    def _take_all(self) -> bool:
        """Give each run that is due a thread, as long as there are slots; whether one was given."""
        given = False
        while self._slots.acquire(blocking=False):
            held = None
            try:
                held = self._take_one()
            finally:
                if held is None:
                    self._slots.release()
            if held is None:
                break
            thread = threading.Thread(target=self._lead_in_slot, args=(held,), daemon=True)
            thread.name = f"run {held.run_id}"
            thread.start()
            given = True
        return given

    def _take_one(self) -> Held | None:
        """Claim a run that is due and that nobody holds."""
        with self._store.read() as conn:
            due = rows.candidates(conn, self._clock.now())
        free = self._watched.free(due, self._clock.monotonic())
        for candidate in free:
            if candidate.id in self._held:
                continue
            began = self._clock.monotonic()
            with self._store.write() as conn:
                epoch = rows.claim(conn, self._clock.now(), candidate, self._owner)
            if epoch is not None:
                held = Held(candidate.id, epoch, began)
                with self._lock:
                    self._held[candidate.id] = held
                return held
        return None

    def _lead_in_slot(self, held: Held) -> None:
        try:
            self._lead(held)
        finally:
            self._slots.release()
            self._woken.set()

    def _lead(self, held: Held) -> None:
        """Carry the run on until it parks, ends or is lost."""
        try:
            task, result, effect = self._turn(held), None, None
            while task is not None:
                result, effect = self._carry_out(task, held)
                if held.lost.is_set() or held.left(self._clock.monotonic()) <= 0:
                    raise LeaseLost(held.run_id)
                task = self._turn(held, result, effect)
        except LeaseLost:
            log.warning("run %s was given up: its lease was lost", held.run_id)
        except StoreError as error:
            log.error(
                "run %s cannot be recorded and is left to whoever takes it next: %s", held.run_id, error
            )
        except Exception:
            # One run's defect must not keep the others from going on. Its lease runs out; it is tried again.
            log.exception("run %s does not go on, because of a defect of Watchkeeper", held.run_id)
        finally:
            with self._lock:
                if self._held.get(held.run_id) is held:
                    del self._held[held.run_id]

    def _carry_out(self, task: Task, held: Held) -> tuple[Result, Effect | None]:
        work = self._providers[str(task.run.spec(task.move.target).verb)]
        undoing = task.move.target.undo  # an abort stops steps, never what takes them back

        def stopped() -> bool:
            aborting = held.aborting.is_set() and not undoing
            return aborting or held.left(self._clock.monotonic()) <= 0

        around = Surroundings(
            self._environ,
            self._folder,
            self._clock,
            stopped,
            lambda: held.left(self._clock.monotonic()),
        )
        found = carry_out(task, work, around)
        self.steps += 1
        return found

    def _turn(self, held: Held, result: Result | None = None, effect: Effect | None = None) -> Task | None:
        """One turn; a store that fails is tried again for as long as the lease lasts."""
        while True:
            began = self._clock.monotonic()
            try:
                with self._store.write() as conn:
                    task = take_turn(
                        conn,
                        self._clock.now(),
                        held.run_id,
                        self._owner,
                        held.epoch,
                        self._able,
                        result,
                        effect,
                        go_on=not self._stop.is_set(),
                    )
                    held.released = task is None
            except StoreError as error:
                if held.left(self._clock.monotonic()) <= 0 or self._stop.is_set():
                    raise
                log.warning("run %s waits for the store: %s", held.run_id, error)
                self._stop.wait(1.0)
                continue
            held.renewed(began)
            return task

    def _end(self) -> None:
        """Begin nothing more; wait a little for what ends soon, and stop the rest."""
        self._stop.set()
        end = self._clock.monotonic() + STOP_SECONDS
        while self._held and self._clock.monotonic() < end:
            self._clock.sleep(0.05)
        with self._lock:
            left = list(self._held.values())
        for held in left:
            held.lost.set()
        end = self._clock.monotonic() + STOP_SECONDS / 2
        while self._held and self._clock.monotonic() < end:
            self._clock.sleep(0.05)
        self._over.set()


def _renew_below() -> float:
    return rows.LEASE.total_seconds() - RENEW_SECONDS
