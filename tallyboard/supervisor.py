"""Keeps processes running: starts them stage by stage, restarts those that die, stops them all in time.

Knows nothing of what the roles do: a role is a command and a question whether it is ready.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tallyboard.failure import Failure
from tallyboard.probes import NO_ANSWER
from tallyboard.role_log import RoleLog
from tallyboard.role_process import RoleProcess, State

Ready = Callable[[], Awaitable[str | None]]
"""Answers None when the role is ready, else the reason why not. Must answer within a few seconds."""


@dataclass(frozen=True, slots=True)
class Role:
    """One process to keep running. `ready=None`: it is ready as soon as it runs."""

    name: str
    command: tuple[str, ...]
    ready: Ready | None = None


async def _nothing() -> None:
    """The step after a stage that needs none."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Roles started together, and what is done once all of them are ready. Later stages wait for that."""

    roles: tuple[Role, ...]
    then: Callable[[], Awaitable[None]] = _nothing


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the supervisor waits for what, in seconds; `first_stage_stop_s` is a part of `stop_s`."""

    start_s: float = 60.0
    start_attempts: int = 3
    backoff_first_s: float = 0.5
    backoff_most_s: float = 30.0
    steady_s: float = 60.0
    probe_s: float = 1.0
    mute_s: float = 30.0
    stop_s: float = 4.0
    first_stage_stop_s: float = 1.2


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where logs go, what the roles see of the environment, and who is told.

    `say` gets sentences for people; `changed` is called with the roles' states after every change and every probe,
    and may raise `Failure` to end everything.
    """

    logs: Path
    say: Callable[[str], None]
    changed: Callable[[Mapping[str, State]], None]
    environment: Mapping[str, str] | None = None
    log_bytes: int = 10_000_000
    log_count: int = 3
    patience: Patience = field(default_factory=Patience)


class Supervisor:
    """Runs stages of roles until `stop` is set or something ends it with `Failure`."""

    def __init__(self, stages: Sequence[Stage], around: Surroundings) -> None:
        self._stages = tuple(stages)
        self._around = around
        self._processes = [
            [
                RoleProcess(
                    role.name,
                    role.command,
                    RoleLog(around.logs / f"{role.name}.log", around.log_bytes, around.log_count),
                    around.environment,
                )
                for role in stage.roles
            ]
            for stage in self._stages
        ]
        self._keepers: list[asyncio.Task[None]] = []
        self._failed = asyncio.Event()
        self._failure: Exception | None = None

    @property
    def states(self) -> dict[str, State]:
        """Role name → how it is, in the order of the stages."""
        return {process.name: process.state for stage in self._processes for process in stage}

    async def run(self, stop: asyncio.Event, started: Callable[[], None] = lambda: None) -> None:
        """Start everything, call `started`, and keep it running until `stop` is set; on return nothing runs any more.

        Raises `Failure` when a role cannot be started, the disk is full, or `changed` says so.
        """
        work = asyncio.create_task(self._work(started))
        ends = [work, *(asyncio.create_task(event.wait()) for event in (stop, self._failed))]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._failure is not None:
                raise self._failure
            if work.done():
                work.result()
                await asyncio.wait(ends[1:], return_when=asyncio.FIRST_COMPLETED)
            if self._failure is not None:
                raise self._failure
        finally:
            for task in (*ends, *self._keepers):
                task.cancel()
            await asyncio.gather(*ends, *self._keepers, return_exceptions=True)
            await self._stop_all()

    async def _work(self, started: Callable[[], None]) -> None:
        """Bring up all stages, one after the other."""
        for stage, processes in zip(self._stages, self._processes, strict=True):
            pairs = zip(stage.roles, processes, strict=True)
            await _all_or_first_failure([asyncio.create_task(self._start(*pair)) for pair in pairs])
            await stage.then()
        started()

    async def _start(self, role: Role, process: RoleProcess) -> None:
        """Start a role for the first time; from then on it is kept running."""
        patience = self._around.patience
        deadline = time.monotonic() + patience.start_s
        for _attempt in range(patience.start_attempts):
            process.start()
            self._tell()
            while process.alive and time.monotonic() < deadline:
                if await self._probe(role, process):
                    self._keepers.append(asyncio.create_task(self._keep(role, process)))
                    return
                await asyncio.sleep(0.1)
            if process.alive:
                reason = process.state.reason or "no answer"
                late = f"{role.name} was not ready within {patience.start_s:g} s"
                raise Failure(f"{late}: {reason} (log: {process.log.path}).")
            process.bury()
            self._give_up_on_full_disk(process)
            self._tell()
        raise Failure(f"{role.name} does not start: {process.state.last_error} (log: {process.log.path}).")

    async def _keep(self, role: Role, process: RoleProcess) -> None:
        """Watch a running role and start it again whenever it dies."""
        patience = self._around.patience
        wait = patience.backoff_first_s
        try:
            while True:
                lived = await self._watch(role, process)
                wait = patience.backoff_first_s if lived >= patience.steady_s else wait
                self._mourn(process, wait)
                await asyncio.sleep(wait)
                wait = min(wait * 2, patience.backoff_most_s)
                process.start(again=True)
                self._tell()
        except Exception as error:  # `run` raises it
            self._failure = self._failure or error
            self._failed.set()

    def _mourn(self, process: RoleProcess, wait: float) -> None:
        process.bury()
        self._give_up_on_full_disk(process)
        state = process.state
        self._around.say(f"{process.name} died: {state.last_error}. Restart {state.restarts + 1} in {wait:g} s.")
        self._tell()

    async def _watch(self, role: Role, process: RoleProcess) -> float:
        """Probe a role until it dies; how many seconds it lived."""
        patience, begin, next_probe = self._around.patience, time.monotonic(), 0.0
        heard = begin
        while process.alive:
            if time.monotonic() >= next_probe:
                was_ready = process.state.phase == "ready"
                if await self._probe(role, process):
                    if not was_ready:
                        self._around.say(f"{role.name} is ready again.")
                elif was_ready:
                    self._around.say(f"{role.name} is not ready: {process.state.reason}.")
                heard = heard if _is_mute(process) else time.monotonic()
                if time.monotonic() - heard > patience.mute_s:
                    self._around.say(f"{role.name} has not answered for {patience.mute_s:g} s and is ended.")
                    process.kill()
                self._tell()
                next_probe = time.monotonic() + (patience.probe_s if process.state.phase == "ready" else 0.25)
            await asyncio.sleep(0.05)
        return time.monotonic() - begin

    async def _probe(self, role: Role, process: RoleProcess) -> bool:
        """Ask a role whether it is ready and note the answer."""
        try:
            reason = await role.ready() if role.ready else None
        except Exception as error:  # whatever a probe meets, the role is not known to be ready
            reason = f"{type(error).__name__}: {error}"
        process.heard(reason)
        return reason is None

    def _tell(self) -> None:
        self._around.changed(self.states)

    def _give_up_on_full_disk(self, process: RoleProcess) -> None:
        """A role that died of a full disk dies of it again: end everything while the sentence can still be read."""
        if process.died_of_full_disk:
            raise Failure(
                f"The disk is full: {process.name} ended with “{process.state.last_error}”. "
                f"Free some space, or choose another folder with --data."
            )

    async def _stop_all(self) -> None:
        """Later stages first; the first stage (what the others write to) last. By force when the time is over."""
        patience = self._around.patience
        deadline = time.monotonic() + patience.stop_s
        first, later = self._processes[:1], self._processes[1:]
        for stages, until in ((later, deadline - patience.first_stage_stop_s), (first, deadline)):
            group = [process for stage in stages for process in stage]
            for process in group:
                process.terminate()
            while any(process.alive for process in group) and time.monotonic() < until:  # noqa: ASYNC110  a process is no event
                await asyncio.sleep(0.02)
        for process in (process for stage in self._processes for process in stage):
            process.close()
        self._tell_last()

    def _tell_last(self) -> None:
        try:
            self._tell()
        except Failure as failure:  # everything has ended already: nothing more can be done about it
            self._around.say(str(failure))


def _is_mute(process: RoleProcess) -> bool:
    """Whether the role gives no answer at all: it lives, but nothing will make it work again."""
    return (process.state.reason or "").startswith(NO_ANSWER)


async def _all_or_first_failure(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for all tasks; when one fails, cancel the others and raise what it raised."""
    if not tasks:
        return
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
