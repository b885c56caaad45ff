"""A worker that comes back to a group whose kept assignment is empty: Kafka would hand it out again for ever."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

from ingest.log import KafkaConnection, Log, Topics
from tallyboard.kafka import EmbeddedKafka
from tests.chaos.nemesis import RoleVictim

READY_S = 40.0


class NothingAssignor(RoundRobinPartitionAssignor):  # type: ignore[misc]  # aiokafka is not typed
    """Assigns what the worker's assignor does while the broker does not know the topic yet: nothing."""

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        return {member: ConsumerProtocolMemberAssignment(cls.version, [], b"") for member in members}


@pytest.mark.chaos
async def test_a_worker_gets_its_partitions_although_its_group_kept_an_empty_assignment(
    tmp_path: Path, broker: EmbeddedKafka, topics: Topics, kafka_connection: KafkaConnection
) -> None:
    with Log(kafka_connection) as log:
        log.ensure_topics(topics)
    environment = {
        **os.environ,
        "TALLYBOARD_KAFKA": broker.bootstrap,
        "TALLYBOARD_TOPIC_PREFIX": topics.prefix,
        "TALLYBOARD_DATA": str(tmp_path / "data"),
    }
    async with httpx.AsyncClient(trust_env=False) as client:
        worker = RoleVictim("rollup", tmp_path, environment, client)
        await leave_an_empty_assignment(broker.bootstrap, topics, httpx.URL(worker.url).port)
        try:
            await worker.start()
            assert await assigned(client, worker.url) == list(range(topics.partitions))
        finally:
            worker.bury()


async def leave_an_empty_assignment(bootstrap: str, topics: Topics, port: int | None) -> None:
    """Be the worker's former life: join under its names, assign nothing, go without leaving the group."""
    consumer = AIOKafkaConsumer(
        topics.events,
        bootstrap_servers=bootstrap,
        group_id=topics.prefix.rstrip(".") + "-rollup",
        group_instance_id=f"rollup-{socket.gethostname()}-{port}",
        partition_assignment_strategy=[NothingAssignor],
        enable_auto_commit=False,
    )
    await consumer.start()
    assert not consumer.assignment()
    await consumer.stop()


async def assigned(client: httpx.AsyncClient, url: str) -> list[int]:
    """The worker's partitions, once it is ready."""
    found: list[int] = []
    deadline = time.monotonic() + READY_S
    while not found and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        try:
            answer = await client.get(f"{url}/health/ready")
        except httpx.TransportError:
            continue
        found = list(answer.json()["partitions"])
    return found
