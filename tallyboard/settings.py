"""Every setting of the command: one table. `TALLYBOARD_<FIELD>` = `--<field>` = a field here; some of them may stand in
the workspace's `tallyboard.toml` (`tallyboard.workspace_file`) too.

Defaults stand in the packages' own settings and are only looked up here. The only place that reads the environment.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import os
import time
import zoneinfo
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from aggregates.settings import ReadModelSettings, RollupSettings
from dashboard.settings import DashboardSettings, base_path, networks
from ingest import keys_file
from ingest.keys import KeyRing, KeysError, Scope
from ingest.log import KafkaConnection, Topics
from ingest.logs import LogFormat
from ingest.registry import Registry, RegistryError, load
from ingest.settings import IngestSettings
from ingest.toml_files import TomlMistake
from ingest.watched import Watched
from tallyboard import data_folder
from tallyboard.failure import Failure
from tallyboard.workers import MAX_WORKERS
from tallyboard.workspace_file import FILE_NAME, settings_of

PREFIX = "TALLYBOARD_"


def _of(settings: type, name: str) -> Any:
    """The default of a field of a package's settings class."""
    (found,) = (field.default for field in dataclasses.fields(settings) if field.name == name)
    return found


_Port = Annotated[int, Field(ge=1, le=65535)]
_Positive = Annotated[int, Field(ge=1)]
_PositiveFloat = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """The whole table, as the environment and the command line give it."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    # Where things are.
    data: Path = Field(_of(ReadModelSettings, "data"), description="data folder")
    workspace: Path = Field(Path(), description="folder with tallyboard.toml and metrics.toml")
    metrics: Annotated[tuple[Path, ...], NoDecode] = Field((), description="further registry files")
    cache: Path | None = Field(None, description="where Apache Kafka's jars are kept")
    # Who may connect.
    host: str = Field(_of(DashboardSettings, "host"), description="address the roles listen on")
    hosts: Annotated[tuple[str, ...], NoDecode] = Field((), description="further names browsers may ask for")
    insecure_bind: bool = Field(False, description="allow a host other than loopback without keys")
    key: SecretStr | None = Field(None, description="API key of commands that send events, ask or replay")
    base_path: str = Field("/", validate_default=True, description="path of the dashboard behind a proxy")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        _of(DashboardSettings, "trusted_proxies"), description="addresses whose X-Forwarded-… headers hold"
    )
    session_secret: SecretStr | None = Field(
        None, min_length=32, description="signs the browsers' cookies; the same one for all dashboard replicas"
    )
    ingest_port: _Port = Field(_of(IngestSettings, "port"), description="port of ingest")
    rollup_port: _Port = Field(_of(RollupSettings, "port"), description="port of rollup (health and metrics)")
    dashboard_port: _Port = Field(_of(DashboardSettings, "port"), description="port of the dashboard")
    ingest_url: str | None = Field(None, description="address of ingest as the dashboard shows it")
    # Kafka.
    kafka: str | None = Field(None, description="HOST:PORT[,HOST:PORT…] of a running cluster; none: the embedded one")
    kafka_port: _Port = Field(9092, description="port of the embedded Kafka")
    kafka_heap_mb: int = Field(256, ge=128, description="heap of the embedded Kafka")
    kafka_security_protocol: str = Field(
        _of(KafkaConnection, "security_protocol"), pattern="^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$"
    )
    kafka_sasl_mechanism: str | None = Field(_of(KafkaConnection, "sasl_mechanism"))
    kafka_sasl_username: str | None = Field(_of(KafkaConnection, "sasl_username"))
    kafka_sasl_password: SecretStr | None = Field(_of(KafkaConnection, "sasl_password"))
    kafka_ssl_cafile: Path | None = Field(_of(KafkaConnection, "ssl_cafile"))
    topic_prefix: str = Field(_of(Topics, "prefix"), pattern=r"^[A-Za-z0-9._-]{1,100}$")
    partitions: Annotated[int, Field(ge=1, le=1000)] = _of(Topics, "partitions")
    replication: Annotated[int, Field(ge=1, le=10)] = _of(Topics, "replication")
    # How ingest runs.
    ingest_workers: Annotated[int, Field(ge=1, le=MAX_WORKERS)] = Field(1, description="processes that share its port")
    metrics_folder: Path | None = Field(
        _of(IngestSettings, "metrics_folder"), description="where these put their metrics together; set by their parent"
    )
    log_format: LogFormat = Field(_of(IngestSettings, "log_format"), description="of the roles' log lines")
    # Limits and windows.
    max_body_bytes: _Positive = _of(IngestSettings, "max_body_bytes")
    max_events: _Positive = _of(IngestSettings, "max_events")
    max_connections: _Positive = _of(IngestSettings, "max_connections")
    flush_ms: Annotated[float, Field(ge=0)] = _of(IngestSettings, "flush_ms")
    queue_events: _Positive = _of(IngestSettings, "queue_events")
    past_days: _PositiveFloat = _of(IngestSettings, "past_days")
    future_minutes: _PositiveFloat = _of(IngestSettings, "future_minutes")
    dedupe_events: _Positive = _of(RollupSettings, "dedupe_events")
    dedupe_hours: _PositiveFloat = _of(RollupSettings, "dedupe_hours")
    retention_1s_hours: _PositiveFloat = _of(ReadModelSettings, "retention_1s_hours")
    retention_1m_days: _PositiveFloat | None = _of(ReadModelSettings, "retention_1m_days")
    retention_15m_days: _PositiveFloat | None = _of(ReadModelSettings, "retention_15m_days")
    retention_1d_days: _PositiveFloat | None = _of(ReadModelSettings, "retention_1d_days")
    as_of_days: _PositiveFloat = _of(ReadModelSettings, "as_of_days")
    timezone: str = Field(_of(ReadModelSettings, "timezone"), description="IANA name; whose days the day level holds")
    retention_rejected_days: _PositiveFloat = _of(ReadModelSettings, "retention_rejected_days")
    rejected_mb: _Positive = _of(ReadModelSettings, "rejected_mb")
    rejected_rows: _Positive = _of(ReadModelSettings, "rejected_rows")
    query_seconds: _PositiveFloat = Field(
        _of(ReadModelSettings, "query_seconds"), description="a longer query is ended"
    )
    queries: Annotated[int, Field(ge=1, le=64)] = _of(DashboardSettings, "queries")
    query_queue: Annotated[int, Field(ge=0)] = _of(DashboardSettings, "query_queue")
    query_cache_mb: _Positive = _of(ReadModelSettings, "query_cache_mb")
    memory_mb: Annotated[int, Field(ge=128)] = _of(ReadModelSettings, "memory_mb")
    grace_s: Annotated[int, Field(ge=0)] = _of(ReadModelSettings, "grace_s")
    # The supervisor.
    min_free_mb: int = Field(256, ge=0, description="free disk space below which nothing is started or goes on")
    log_mb: _Positive = Field(10, description="size at which a role's log is rotated")
    log_count: int = Field(3, ge=0, description="how many rotated logs are kept")

    @field_validator("metrics", mode="before")
    @classmethod
    def _split_paths(cls, value: object) -> object:
        return tuple(filter(None, value.split(os.pathsep))) if isinstance(value, str) else value

    @field_validator("hosts", "trusted_proxies", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("base_path")
    @classmethod
    def _is_a_base(cls, value: str) -> str:
        return base_path(value)

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        networks(value)
        return value

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        if value not in zoneinfo.available_timezones():
            raise ValueError("not the name of a time zone, such as Europe/Amsterdam")
        return value

    @field_validator("kafka")
    @classmethod
    def _has_ports(cls, value: str | None) -> str | None:
        for address in (value or "").split(",") if value else ():
            host, colon, port = address.strip().rpartition(":")
            if not (host and colon and port.isdigit() and 0 < int(port) < 65536):
                raise ValueError(f"“{address}” is not HOST:PORT")
        return value

    @property
    def cache_folder(self) -> Path:
        return self.cache or Path(platformdirs.user_cache_dir("tallyboard"))

    @property
    def connection(self) -> KafkaConnection:
        password = self.kafka_sasl_password
        return KafkaConnection(
            bootstrap=self.kafka or f"127.0.0.1:{self.kafka_port}",
            security_protocol=self.kafka_security_protocol,
            sasl_mechanism=self.kafka_sasl_mechanism,
            sasl_username=self.kafka_sasl_username,
            sasl_password=password.get_secret_value() if password else None,
            ssl_cafile=str(self.kafka_ssl_cafile) if self.kafka_ssl_cafile else None,
        )

    @property
    def topics(self) -> Topics:
        return Topics(prefix=self.topic_prefix, partitions=self.partitions, replication=self.replication)

    def local_url(self, port: int) -> str:
        """Address of a role on this machine."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "localhost") else self.host  # noqa: S104
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def dashboard_url(self) -> str:
        """Address of the dashboard that runs here: the one `up` wrote into the data folder, else the default one."""
        found = data_folder.find(self.data)
        state = data_folder.read_state(found) if found else None
        return str(state["addresses"]["dashboard"]) if state else self.local_url(self.dashboard_port)

    def authorization(self) -> dict[str, str]:
        """The header that shows the key, if there is one."""
        return {"Authorization": f"Bearer {self.key.get_secret_value()}"} if self.key else {}

    def _bound(self, role: str, scope: Scope | None = None) -> str:
        """The address to listen on. Raises `Failure` for one that the network reaches, unless keys are asked for and
        one of them is active (and has the scope)."""
        if self.insecure_bind or _is_loopback(self.host):
            return self.host
        ring = self.keys().value
        active = [] if ring is None else ring.active(time.time_ns() // 1_000_000)
        if any(scope is None or key.may(scope) for key in active):
            return self.host
        such, option = ("that may read ", " --scope read") if scope is Scope.READ else ("", "")
        raise Failure(
            f"--host {self.host} would open {role} to the network, and there is no active key {such}in "
            f"{self.keys_file}: make one with `tallyboard key create NAME{option}`, or accept that anyone who "
            "reaches the port can use it with --insecure-bind."
        )

    def ingest(self) -> IngestSettings:
        return IngestSettings(
            kafka=self.connection,
            topics=self.topics,
            host=self._bound("ingest"),
            port=self.ingest_port,
            hosts=(*_of(IngestSettings, "hosts"), *self.hosts),
            max_body_bytes=self.max_body_bytes,
            max_events=self.max_events,
            max_connections=self.max_connections,
            flush_ms=self.flush_ms,
            queue_events=self.queue_events,
            past_days=self.past_days,
            future_minutes=self.future_minutes,
            log_format=self.log_format,
            metrics_folder=self.metrics_folder,
        )

    def rollup(self) -> RollupSettings:
        return RollupSettings(
            kafka=self.connection,
            topics=self.topics,
            host=self._bound("rollup"),
            port=self.rollup_port,
            data=self.data,
            dedupe_events=self.dedupe_events,
            dedupe_hours=self.dedupe_hours,
            log_format=self.log_format,
        )

    def dashboard(self) -> DashboardSettings:
        return DashboardSettings(
            read_model=ReadModelSettings(
                kafka=self.connection,
                topics=self.topics,
                data=self.data,
                grace_s=self.grace_s,
                retention_1s_hours=self.retention_1s_hours,
                retention_1m_days=self.retention_1m_days,
                retention_15m_days=self.retention_15m_days,
                retention_1d_days=self.retention_1d_days,
                as_of_days=self.as_of_days,
                timezone=self.timezone,
                retention_rejected_days=self.retention_rejected_days,
                rejected_mb=self.rejected_mb,
                rejected_rows=self.rejected_rows,
                query_seconds=self.query_seconds,
                query_cache_mb=self.query_cache_mb,
                memory_mb=self.memory_mb,
            ),
            queries=self.queries,
            query_queue=self.query_queue,
            host=self._bound("the dashboard", Scope.READ),
            port=self.dashboard_port,
            hosts=self.hosts,
            base_path=self.base_path,
            trusted_proxies=self.trusted_proxies,
            session_secret=self.session_secret.get_secret_value().encode() if self.session_secret else None,
            log_format=self.log_format,
            ingest_url=self.ingest_url or self.local_url(self.ingest_port),
        )

    @property
    def registry_files(self) -> tuple[Path, ...]:
        """The workspace's metrics.toml and the further files, in the order they are read."""
        return (self.workspace / "metrics.toml", *self.metrics)

    @property
    def keys_file(self) -> Path:
        return self.workspace / keys_file.FILE_NAME

    def registry(self) -> Watched[Registry]:
        """The registry, read again when a file changes. Raises `Failure` when one is wrong or missing."""
        if not self.workspace.is_dir():
            raise Failure(f"{PREFIX}WORKSPACE: there is no folder {self.workspace}.")
        for path in self.metrics:
            if not path.is_file():
                raise Failure(f"{PREFIX}METRICS: there is no file {path}.")
        try:
            return Watched(self.registry_files, lambda: load(*self.registry_files))
        except RegistryError as error:
            raise Failure(f"{error}.") from error

    def keys(self) -> Watched[KeyRing | None]:
        """The workspace's keys, read again when the file changes. Raises `Failure` when it is wrong."""
        try:
            return Watched([self.keys_file], lambda: keys_file.load(self.keys_file))
        except KeysError as error:
            raise Failure(f"{error}.") from error

    def as_environment(self) -> dict[str, str]:
        """Variables that give another process these settings; secrets travel this way and never as arguments."""
        return {PREFIX + name.upper(): _text(value) for name, value in self if value not in (None, ())}


def read(given: Mapping[str, object] | None = None, workspace_file: bool = True) -> Settings:
    """The settings from the flags `given` on the command line (None is not given), else from the environment, else from
    the workspace's `tallyboard.toml`, else the defaults.

    Args:
        workspace_file: whether that file is read.

    Raises `Failure` naming the flag, the variable, or the line of the file that is wrong.
    """
    flags = {name: value for name, value in (given or {}).items() if value is not None}
    _refuse_unknown(os.environ)
    try:
        settings = Settings(**flags)  # type: ignore[arg-type]
        if not workspace_file:
            return settings
        said = _of_workspace(settings)
        rest = {name: value for name, value in said.items() if name not in settings.model_fields_set}
        return Settings(**flags, **rest) if rest else settings  # type: ignore[arg-type]
    except ValidationError as error:
        raise Failure(_first_mistake(error, flags)) from error


def _of_workspace(settings: Settings) -> Mapping[str, object]:
    """What the workspace's `tallyboard.toml` says. Raises `Failure` for the first thing that is wrong in it."""
    try:
        return settings_of(settings.workspace / FILE_NAME)
    except TomlMistake as mistake:
        raise Failure(f"{mistake}.") from mistake


def _first_mistake(error: ValidationError, flags: Mapping[str, object]) -> str:
    first = error.errors(include_url=False)[0]
    said = first["msg"].removeprefix("Value error, ").rstrip(".")
    if not first["loc"]:
        return f"{said}."
    name = str(first["loc"][0])
    source = f"--{name.replace('_', '-')}" if name in flags else PREFIX + name.upper()
    shown = "" if "password" in name or name in ("key", "session_secret") else f" (got “{first['input']}”)"
    return f"{source}: {said[:1].lower()}{said[1:]}{shown}."


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    """A misspelt variable is a setting that silently does not hold: name it instead."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}" if close else ""
            raise Failure(f"{name} is not a setting{hint}.")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _text(value: object) -> str:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case bool():
            return "true" if value else "false"
        case tuple() if value and isinstance(value[0], Path):
            return os.pathsep.join(map(str, value))
        case tuple():
            return ",".join(map(str, value))
        case _:
            return str(value)
