"""What the rollup worker and the projector report about themselves: Prometheus metrics with bounded labels."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class RollupTelemetry:
    """Metrics of one rollup worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter("tallyboard_rollup_events", "Events rolled up", registry=registry)
        self.duplicates = Counter(
            "tallyboard_rollup_duplicates", "Events not counted, id seen before", registry=registry
        )
        self.undecodable = Counter("tallyboard_rollup_undecodable_records", "Unreadable records", registry=registry)
        self.rows = Counter("tallyboard_rollup_rows", "Delta rows written", registry=registry)
        self.seconds = Histogram(
            "tallyboard_rollup_batch_seconds", "Rolling up and writing one batch", registry=registry, buckets=_SECONDS
        )
        self.lag = Gauge("tallyboard_rollup_lag_records", "Records not rolled up", ["partition"], registry=registry)
        self.ids_bytes = Gauge("tallyboard_rollup_ids_bytes", "Memory of remembered ids", registry=registry)
        self.totals_bytes = Gauge(
            "tallyboard_rollup_totals_bytes", "Memory of the newest points of running totals", registry=registry
        )


class ProjectionTelemetry:
    """Metrics of one read model."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter("tallyboard_projection_events", "Events counted in", registry=registry)
        self.seconds = Histogram(
            "tallyboard_projection_apply_seconds", "One transaction of deltas", registry=registry, buckets=_SECONDS
        )
        self.lag = Gauge(
            "tallyboard_projection_lag_records", "Records not counted in", ["partition"], registry=registry
        )
        self.watermark = Gauge(
            "tallyboard_projection_watermark_seconds", "Everything up to this time is counted in", registry=registry
        )
        self.series = Gauge("tallyboard_projection_series", "Series known", registry=registry)
