"""An embedded broker with further doors: listeners that tell their clients to come back through a proxy.

A client of Kafka connects to the address that the broker *advertises*, so a proxy in front of the ordinary listener
would be left out after the first answer. Each door is a listener of its own whose advertised port is its proxy's.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Mapping
from pathlib import Path

from tallyboard.failure import Failure
from tallyboard.kafka import START_SECONDS, BrokerPlan, EmbeddedKafka, command_line, hold, wait_ready
from tallyboard.lifeline import Child

_HOST = "127.0.0.1"
_PORTS = range(20_000, 32_000)
"""Below the range that outgoing connections take their ports from: a port here stays free while its owner is killed."""


def quiet_port() -> int:
    """A port on loopback that nothing listens on, and that no outgoing connection takes by chance."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


class ProxiedKafka(EmbeddedKafka):
    """`doors`: port of a further listener → the port it advertises."""

    def __init__(self, plan: BrokerPlan, doors: Mapping[int, int]) -> None:
        super().__init__(plan)
        self._doors = dict(doors)

    def start(self, seconds: float = START_SECONDS) -> None:
        """Start it and wait until it answers on its ordinary port. Raises `Failure` otherwise."""
        if self.pid is not None:
            return
        self.kill()
        lock = hold(self.plan)
        try:
            command = command_line(self.plan)
            _add_doors(Path(command[-1]), self._doors)
            with self.log.open("ab") as out:
                self._child = Child(command, stdout=out, keep=(lock,))
        finally:
            os.close(lock)
        try:
            wait_ready(self.bootstrap, seconds, self._child.process)
        except Failure:
            self.kill()
            raise


def _add_doors(properties: Path, doors: Mapping[int, int]) -> None:
    """Write further listeners into a broker's configuration."""
    settings = dict(line.split("=", 1) for line in properties.read_text().splitlines())
    for number, (port, advertised) in enumerate(doors.items()):
        settings["listeners"] += f",DOOR{number}://{_HOST}:{port}"
        settings["advertised.listeners"] += f",DOOR{number}://{_HOST}:{advertised}"
        settings["listener.security.protocol.map"] += f",DOOR{number}:PLAINTEXT"
    properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
