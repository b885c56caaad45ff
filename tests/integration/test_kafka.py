"""The embedded broker: real records, restarts, and a process that never outlives who started it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from ingest.log import KafkaConnection, Log, Topics
from tallyboard.failure import Failure
from tallyboard.kafka import BrokerPlan, EmbeddedKafka, free_port
from tallyboard.kafka_cache import DamagedCache, ensure_jars, require_published, verify


def until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Poll until the condition holds or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


@pytest.fixture(scope="module")
def module_broker(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    kafka = EmbeddedKafka(BrokerPlan(tmp_path_factory.mktemp("own"), free_port(), kafka_jars))
    yield kafka
    kafka.stop()


@pytest.fixture
def own_broker(module_broker: EmbeddedKafka) -> EmbeddedKafka:
    """A running broker that the test may kill."""
    module_broker.start()
    return module_broker


def send(bootstrap: str, topic: str, value: bytes) -> int:
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", max_request_size=32 * 1024 * 1024)
    try:
        return int(producer.send(topic, value, partition=0).get(20).offset)
    finally:
        producer.close()


def read_all(bootstrap: str, topic: str) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, consumer_timeout_ms=15_000)
    try:
        where = TopicPartition(topic, 0)
        consumer.assign([where])
        consumer.seek_to_beginning(where)
        end = consumer.end_offsets([where])[where]
        values: list[bytes] = []
        while len(values) < end:
            for records in consumer.poll(1000).values():
                values += [record.value for record in records]
        return values
    finally:
        consumer.close()


def test_topics_are_created_right_after_start(broker: EmbeddedKafka, topics: Topics) -> None:
    with Log(KafkaConnection(bootstrap=broker.bootstrap)) as log:
        log.ensure_topics(topics)
        log.ensure_topics(topics)
        assert log.end_offsets(topics.events) == dict.fromkeys(range(topics.partitions), 0)


def test_takes_the_largest_record_there_may_be(broker: EmbeddedKafka, topics: Topics) -> None:
    with Log(KafkaConnection(bootstrap=broker.bootstrap)) as log:
        log.ensure_topics(topics)
    assert send(broker.bootstrap, topics.events, bytes(16 * 1024 * 1024 - 4096)) == 0


def test_records_and_topic_ids_survive_kill_and_a_new_port(own_broker: EmbeddedKafka, topics: Topics) -> None:
    with Log(KafkaConnection(bootstrap=own_broker.bootstrap)) as log:
        log.ensure_topics(topics)
        topic_id = log.topic_id(topics.events)
    send(own_broker.bootstrap, topics.events, b"one")
    own_broker.kill()
    plan = own_broker.plan
    moved = EmbeddedKafka(BrokerPlan(plan.folder, free_port(), plan.jars))
    moved.start()
    try:
        assert send(moved.bootstrap, topics.events, b"two") == 1
        assert read_all(moved.bootstrap, topics.events) == [b"one", b"two"]
        with Log(KafkaConnection(bootstrap=moved.bootstrap)) as log:
            assert log.topic_id(topics.events) == topic_id
    finally:
        moved.stop()


def test_a_broker_started_by_a_passing_thread_lives_on(own_broker: EmbeddedKafka) -> None:
    own_broker.kill()
    starter = threading.Thread(target=own_broker.start)
    starter.start()
    starter.join()
    first = own_broker.pid
    with Log(KafkaConnection(bootstrap=own_broker.bootstrap)):
        assert own_broker.pid == first


START_AND_HANG = """
import sys, threading, time
from pathlib import Path
from tallyboard.kafka import BrokerPlan, EmbeddedKafka
kafka = EmbeddedKafka(BrokerPlan(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
if sys.argv[4] == "thread":
    starter = threading.Thread(target=kafka.start); starter.start(); starter.join()
else:
    kafka.start()
print(kafka.pid, flush=True)
time.sleep(120)
"""


@pytest.mark.parametrize("started_from", ["main", "thread"])
def test_no_broker_outlives_its_killed_parent(kafka_jars: Path, tmp_path: Path, started_from: str) -> None:
    arguments = [str(tmp_path / "kafka"), str(free_port()), str(kafka_jars), started_from]
    parent = subprocess.Popen([sys.executable, "-c", START_AND_HANG, *arguments], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout:
        java = psutil.Process(int(parent.stdout.readline()))
    group = [p for p in psutil.process_iter() if same_group(p, java.pid)]
    assert java in group
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert until(lambda: not any(running(process) for process in group), 5.0)


def same_group(process: psutil.Process, group: int) -> bool:
    try:
        return os.getpgid(process.pid) == group
    except ProcessLookupError:
        return False


def running(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_two_brokers_never_share_a_folder(own_broker: EmbeddedKafka) -> None:
    plan = own_broker.plan
    with pytest.raises(Failure, match=f"Another Kafka already runs on {plan.folder}"):
        EmbeddedKafka(BrokerPlan(plan.folder, free_port(), plan.jars)).start()
    with Log(KafkaConnection(bootstrap=own_broker.bootstrap)):
        pass


def test_a_broker_that_cannot_start_says_its_last_line(kafka_jars: Path, tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "meta.properties").write_text("version=1\nnode.id=7\ncluster.id=other\n")
    with pytest.raises(Failure, match=r"exit code 1 .* last line: .+"):
        EmbeddedKafka(BrokerPlan(tmp_path, free_port(), kafka_jars)).start()


def test_a_port_in_use_is_not_taken_for_the_own_broker(own_broker: EmbeddedKafka, tmp_path: Path) -> None:
    plan = own_broker.plan
    with pytest.raises(Failure, match=f"Port {plan.port} is in use"):
        EmbeddedKafka(BrokerPlan(tmp_path / "other", plan.port, plan.jars)).start()


@pytest.fixture
def cache(kafka_jars: Path, tmp_path: Path) -> Path:
    """A cache of its own, holding copies of the jars with their manifest."""
    copy = tmp_path / "cache" / kafka_jars.name
    shutil.copytree(kafka_jars, copy, copy_function=shutil.copy2)
    return copy


def test_a_copied_cache_is_whole(cache: Path) -> None:
    assert verify(cache) is None


def test_changed_missing_and_foreign_jars_are_damage(cache: Path) -> None:
    jar = next(cache.glob("kafka-clients-*.jar"))
    content = bytearray(jar.read_bytes())
    content[1000] ^= 1
    jar.write_bytes(content)
    assert verify(cache) == f"{jar.name} has other bytes than when it was fetched"
    jar.write_bytes(content[:-1])
    assert verify(cache) == f"{jar.name} has another size than when it was fetched"
    jar.unlink()
    assert verify(cache) == "1 jars are missing or foreign"
    (cache / "manifest.json").write_text("{")
    assert verify(cache) == "its manifest cannot be read"


def test_only_the_published_jars_are_kept(cache: Path) -> None:
    require_published(cache)
    jar = next(cache.glob("kafka-clients-*.jar"))
    content = jar.read_bytes()
    jar.write_bytes(content[:-1])
    with pytest.raises(Failure, match=f"{jar.name} differs"):
        require_published(cache)
    jar.write_bytes(content)
    (cache / "foreign.jar").touch()
    with pytest.raises(Failure, match=r"foreign\.jar differs"):
        require_published(cache)


def test_a_touched_jar_with_the_same_bytes_is_whole(cache: Path) -> None:
    os.utime(next(cache.glob("*.jar")), (1, 1))
    assert verify(cache) is None


UNREACHABLE = {
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "NO_PROXY": "",
    "no_proxy": "",
}
ENSURE = """
import sys
from pathlib import Path
from tallyboard.kafka_cache import ensure_jars
ensure_jars(Path(sys.argv[1]), lambda done, total, name: None, print)
"""


def ensure_without_network(cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ENSURE, str(cache)],
        env={**os.environ, **UNREACHABLE},
        capture_output=True,
        text=True,
    )


def test_a_whole_cache_needs_no_network(cache: Path) -> None:
    assert ensure_without_network(cache.parent).returncode == 0


def test_without_network_a_cold_cache_is_one_sentence(tmp_path: Path) -> None:
    done = ensure_without_network(tmp_path / "cold")
    assert done.returncode != 0
    assert "could not be downloaded (about 45 MB, needed once): is there a network?" in done.stderr.splitlines()[-1]
    assert not list((tmp_path / "cold").glob("kafka-*/*.jar"))


def test_without_network_a_damaged_cache_is_one_sentence_and_stays(cache: Path) -> None:
    next(cache.glob("kafka-clients-*.jar")).unlink()
    done = ensure_without_network(cache.parent)
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    assert DamagedCache.__name__ in last
    assert "is damaged (1 jars are missing or foreign), and Apache Kafka" in last
    assert cache.exists()


def test_an_interrupted_download_is_not_taken_for_a_whole_one(cache: Path) -> None:
    part = cache.parent / ".kafka-4.3.1-interrupted" / "jars"
    part.mkdir(parents=True)
    assert ensure_jars(cache.parent, lambda done, total, name: None, print) == cache
