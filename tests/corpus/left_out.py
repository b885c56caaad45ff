"""Rows of the table of bad inputs that no case stands for, each with its reason."""

from __future__ import annotations

ROWS = range(1, 50)

_LINE_PROTOCOL = "for the InfluxDB line protocol, which is not served yet"
_OTLP = "for OTLP, which is not served yet"

LEFT_OUT: dict[int, str] = {
    **dict.fromkeys(range(39, 44), _LINE_PROTOCOL),
    **dict.fromkeys(range(44, 49), _OTLP),
    49: "for Prometheus remote write, which is not served yet",
}
