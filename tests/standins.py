"""A supervisor over small stand-in roles, as a program of its own: tests kill it.

`python -m tests.standins DATA PLAN` where PLAN is JSON: {"stages": [[{"name", "code", "ready"}…]…], "patience": {…}}.
`code` is Python run as the role, `ready` a file that exists once the role is ready (none: at once).
Prints what the supervisor says, and "started".
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tallyboard import data_folder
from tallyboard.failure import Failure
from tallyboard.supervisor import Patience, Ready, Role, Stage, Supervisor, Surroundings


def file_exists(path: Path) -> Ready:
    async def ready() -> str | None:
        return None if path.exists() else f"{path.name} is missing"

    return ready


def role(plan: dict[str, Any], data: Path) -> Role:
    ready = file_exists(data / plan["ready"]) if plan.get("ready") else None
    return Role(plan["name"], (sys.executable, "-c", plan["code"], str(data)), ready)


async def supervise(data: Path, plan: dict[str, Any]) -> None:
    def say(sentence: str) -> None:
        print(sentence, flush=True)

    stages = [Stage(tuple(role(one, data) for one in stage)) for stage in plan["stages"]]
    around = Surroundings(
        logs=data / "logs",
        say=say,
        changed=lambda states: data_folder.write_state(
            data, {"roles": {name: asdict(state) for name, state in states.items()}}
        ),
        log_bytes=plan.get("log_bytes", 1_000_000),
        patience=Patience(**plan.get("patience", {})),
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await Supervisor(stages, around).run(stop, lambda: say("started"))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    try:
        with data_folder.locked(folder):
            asyncio.run(supervise(folder, json.loads(sys.argv[2])))
    except Failure as failure:
        sys.exit(str(failure))
