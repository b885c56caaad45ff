"""What tests share: one embedded broker a session, topic names of their own, and a Chromium."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import platformdirs
import pytest

from ingest.log import KafkaConnection, Topics
from tallyboard.failure import Failure
from tallyboard.kafka import BrokerPlan, EmbeddedKafka, free_port
from tallyboard.kafka_cache import ensure_jars

if TYPE_CHECKING:
    from playwright.sync_api import Browser

IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


# A loaded machine must not fail a test by its clock; in CI the examples are the same in every run.
hypothesis.settings.register_profile("tallyboard", deadline=None, derandomize=IN_CI)
hypothesis.settings.load_profile("tallyboard")


def unavailable(reason: str) -> None:
    """Skip in one line on a developer's machine, fail in CI: there nothing may be missing."""
    if IN_CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """The folder with Kafka's jars; fetched once per machine (about 45 MB)."""
    cache = Path(os.environ.get("TALLYBOARD_CACHE") or platformdirs.user_cache_dir("tallyboard"))
    try:
        return ensure_jars(cache, lambda done, total, name: None, print)
    except Failure as failure:
        unavailable(str(failure))
        raise


@pytest.fixture(scope="session")
def broker(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """The session's own Apache Kafka on a free port. Tests that kill a broker start one of their own."""
    kafka = EmbeddedKafka(BrokerPlan(tmp_path_factory.mktemp("kafka"), free_port(), kafka_jars))
    kafka.start()
    yield kafka
    kafka.stop()


@pytest.fixture
def kafka_connection(broker: EmbeddedKafka) -> KafkaConnection:
    return KafkaConnection(bootstrap=broker.bootstrap)


@pytest.fixture
def topics() -> Topics:
    """Topic names no other test uses, so that tests share the broker and nothing else. Not created yet."""
    return Topics(prefix=f"test-{uuid.uuid4().hex[:12]}.")


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Where Chromium is; without it the test is skipped (in CI: fails)."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (found := shutil.which(name)) is not None:
            return found
    unavailable("no Chromium here: install the Debian package `chromium`")
    raise AssertionError


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    """A running Chromium driven by playwright's synchronous interface.

    One per module: its driver occupies the thread's event loop, so a module uses either this or asyncio tests.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path, args=list(CHROMIUM_FLAGS))
        yield chromium
        chromium.close()
