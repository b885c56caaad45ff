"""`tallyboard status`: how the roles of a data folder are, asked of the supervisor's file and of the roles."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from tallyboard import data_folder
from tallyboard.failure import Failure
from tallyboard.kafka import listens
from tallyboard.probes import health


@dataclass(frozen=True, slots=True)
class RoleStatus:
    """One line of the table. `lag` counts records not yet handled; `lag_ms` is the age of what is shown."""

    role: str
    state: str
    ready: bool
    pid: int | None
    restarts: int
    lag: int | None
    lag_ms: float | None
    reasons: tuple[str, ...]
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """A data folder at one moment. `ready`: the supervisor runs and every role is ready."""

    data: str
    running: bool
    started_at: str | None
    addresses: Mapping[str, str]
    roles: tuple[RoleStatus, ...]

    @property
    def ready(self) -> bool:
        return self.running and all(role.ready for role in self.roles)


def read(start: Path) -> Status:
    """The status of `start`, or of the folder in it that runs. Raises `Failure` when nothing was ever started there."""
    data = data_folder.find(start)
    if data is None:
        raise Failure(f"Nothing was started in {start} yet: `tallyboard up --data {start}` does.")
    state = data_folder.read_state(data) or {}
    running = data_folder.is_locked(data)
    roles = asyncio.run(_ask(state)) if running else _stopped(state)
    return Status(str(data), running, state.get("started_at"), state.get("addresses", {}), roles)


def _stopped(state: Mapping[str, Any]) -> tuple[RoleStatus, ...]:
    return tuple(
        RoleStatus(name, "stopped", False, None, role["restarts"], None, None, (), role["last_error"])
        for name, role in state.get("roles", {}).items()
    )


async def _ask(state: Mapping[str, Any]) -> tuple[RoleStatus, ...]:
    addresses = state["addresses"]
    async with httpx.AsyncClient(trust_env=False) as client:
        asked = (_ask_one(client, name, role, addresses.get(name)) for name, role in state["roles"].items())
        return tuple(await asyncio.gather(*asked))


async def _ask_one(client: httpx.AsyncClient, name: str, role: Mapping[str, Any], address: str | None) -> RoleStatus:
    """A dead role is not asked; one without an HTTP address is what the supervisor last saw."""
    answer: dict[str, Any] = {
        "ready": role["phase"] == "ready",
        "reasons": [role["reason"]] if role["reason"] else [],
    }
    if role["pid"] and address and address.startswith("http"):
        answer = await health(client, address)
    elif role["pid"] and address:
        answer["ready"] = await asyncio.to_thread(listens, address)
    ready = bool(answer.get("ready"))
    phase = "ready" if ready else "not ready" if role["phase"] == "ready" else role["phase"]
    return RoleStatus(
        role=name,
        state=phase,
        ready=ready,
        pid=role["pid"],
        restarts=role["restarts"],
        lag=_total(answer.get("lag")),
        lag_ms=answer.get("lag_ms"),
        reasons=tuple(map(str, answer.get("reasons") or ())),
        last_error=role["last_error"],
    )


def _total(lag: object) -> int | None:
    """Records behind, over all partitions."""
    if isinstance(lag, Mapping):
        counts = [count for count in lag.values() if isinstance(count, int)]
        return sum(counts) if counts else None
    return lag if isinstance(lag, int) else None


def show(status: Status, console: Console) -> None:
    """Print it for people."""
    where = f"{status.data}, since {status.started_at}" if status.running else f"{status.data}: not running"
    console.print(f"Tallyboard on {where}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("role", "state", "pid", "lag", "restarts", "last error"):
        table.add_column(column, justify="right" if column in ("pid", "lag", "restarts") else "left", overflow="fold")
    for role in status.roles:
        colour = "green" if role.ready else "red"
        lag = "" if role.lag is None else f"{role.lag:,}"
        state = f"[{colour}]{role.state}[/]" + (f" ({'; '.join(role.reasons)})" if role.reasons else "")
        table.add_row(role.role, state, str(role.pid or ""), lag, str(role.restarts), role.last_error or "")
    console.print(table)
    for name, address in status.addresses.items():
        if status.running:
            console.print(f"{name:<10} {address}")
