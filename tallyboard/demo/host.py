"""This machine, once a second: processor, memory, disk and network by psutil."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from ingest.client.delivery import Target
from tallyboard.demo.sender import Event, Sender

_MEMORY_STATES = ("used", "free", "buffers", "cached")


@dataclass(frozen=True, slots=True)
class Totals:
    """Bytes since the machine started."""

    read: int
    written: int
    received: int
    sent: int


def totals() -> Totals:
    """The counters now; those a machine does not have stay 0. The loopback interface is left out."""
    disk = psutil.disk_io_counters()
    network = [count for name, count in psutil.net_io_counters(pernic=True).items() if not name.startswith("lo")]
    return Totals(
        read=disk.read_bytes if disk else 0,
        written=disk.write_bytes if disk else 0,
        received=sum(count.bytes_recv for count in network),
        sent=sum(count.bytes_sent for count in network),
    )


def sample(before: Totals, after: Totals, at_ms: int, event_id: str) -> list[Event]:
    """The events of one second: gauges as they are, counters as what was added since `before`."""

    def event(metric: str, value: float, **dimensions: str) -> Event:
        return {
            "metric": metric,
            "value": value,
            "timestamp": at_ms,
            "dimensions": dimensions,
            "id": event_id,
        }

    memory = psutil.virtual_memory()
    events = [
        event("host.cpu", busy, core=f"{core}") for core, busy in enumerate(psutil.cpu_percent(None, percpu=True))
    ]
    events += [
        event("host.memory", float(getattr(memory, state)), state=state)
        for state in _MEMORY_STATES
        if hasattr(memory, state)
    ]
    events.append(event("host.memory_used", memory.percent))
    events.append(event("host.processes", float(len(psutil.pids()))))
    added = (
        ("host.disk_io", "read", after.read - before.read),
        ("host.disk_io", "write", after.written - before.written),
        ("host.network", "in", after.received - before.received),
        ("host.network", "out", after.sent - before.sent),
    )
    # An interface that goes away takes its count along: that is no negative traffic.
    events += [event(metric, float(max(count, 0)), direction=direction) for metric, direction, count in added]
    return events


def watch(target: Target, interval_s: float, say: Callable[[str], None]) -> None:
    """Send a sample every `interval_s` seconds, for ever."""
    run = uuid.uuid4().hex[:8]
    sender = Sender(target, say)
    say(f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.1f} GB of memory, every {interval_s:g} s")
    before = totals()
    psutil.cpu_percent(None, percpu=True)  # the first answer is for the time since the machine started
    try:
        while True:
            time.sleep(interval_s - time.time() % interval_s)
            at_ms, after = time.time_ns() // 1_000_000, totals()
            sender.send(sample(before, after, at_ms, f"{run}-{at_ms}"))
            before = after
    finally:
        sender.close()
