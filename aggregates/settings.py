"""Settings of the rollup worker and of the read model, with their defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from aggregates.days import DAY_S
from aggregates.levels import DAY, MINUTE, QUARTER, SECOND
from aggregates.queries import QueryLimits
from ingest.log import KafkaConnection, Topics
from ingest.logs import LogFormat


@dataclass(frozen=True, slots=True)
class RollupSettings:
    """Settings of one rollup worker."""

    kafka: KafkaConnection = field(default_factory=KafkaConnection)
    topics: Topics = field(default_factory=Topics)
    host: str = "127.0.0.1"
    port: int = 8060
    data: Path = Path(".tallyboard")
    """Folder for the worker's stable member name; it holds no state."""
    dedupe_events: int = 5_000_000
    """An id is remembered for this many events of its partition, …"""
    dedupe_hours: float = 24.0
    """… and for this long."""
    log_format: LogFormat = "text"


@dataclass(frozen=True, slots=True)
class ReadModelSettings:
    """Settings of one read model: where its file is, and how long it keeps what."""

    kafka: KafkaConnection = field(default_factory=KafkaConnection)
    topics: Topics = field(default_factory=Topics)
    data: Path = Path(".tallyboard")
    """Folder of `dashboard.duckdb`."""
    grace_s: int = 10
    """How long a bucket stays open behind the watermark."""
    timezone: str = "UTC"
    """IANA name: whose days the day level holds."""
    retention_1s_hours: float = 2.0
    """A metric may have a retention of its own in the registry."""
    retention_1m_days: float | None = 15.0
    """None, here and below: for ever."""
    retention_15m_days: float | None = 100.0
    retention_1d_days: float | None = None
    as_of_days: float = 30.0
    """So long it is told what was known when; then restatements become part of the baseline."""
    retention_rejected_days: float = 30.0
    rejected_mb: int = 256
    """What was sent is kept of the newest dead letters, up to so many megabytes."""
    rejected_rows: int = 500_000
    """So many dead letters are listed; older ones are counted."""

    query_seconds: float = 5.0
    """A query that runs longer is ended."""
    query_cache_mb: int = 64
    """Answers are remembered up to so many megabytes, until they change."""
    memory_mb: int = 2048
    """What the database may take, where four fifths of the machine's are not less."""

    @property
    def file(self) -> Path:
        return self.data / "dashboard.duckdb"

    @property
    def limits(self) -> QueryLimits:
        return QueryLimits(self.query_seconds, self.query_cache_mb * 2**20)

    @property
    def keep_s(self) -> dict[str, float | None]:
        """Level → how long its buckets are kept, in seconds."""
        units: dict[str, tuple[float | None, int]] = {
            SECOND: (self.retention_1s_hours, 3600),
            MINUTE: (self.retention_1m_days, DAY_S),
            QUARTER: (self.retention_15m_days, DAY_S),
            DAY: (self.retention_1d_days, DAY_S),
        }
        return {level: None if number is None else number * unit for level, (number, unit) in units.items()}
