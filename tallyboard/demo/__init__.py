"""Demos on real input. Each sends events through the HTTP API, as any service would."""

from __future__ import annotations

from pathlib import Path

METRICS_FILE = Path(__file__).with_name("metrics.toml")
"""What the demos' metrics mean; added to the registry by `tallyboard up --demo`."""
