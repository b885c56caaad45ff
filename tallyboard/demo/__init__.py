"""Demos. Each sends events through the HTTP API, as any service would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

METRICS_FILE = Path(__file__).with_name("metrics.toml")
"""What the metrics of the demos flights, host and load mean."""
EXAMPLES = ("shop", "social")
"""Demos that are fed into an example workspace."""


def workspace(example: str) -> Path:
    """The folder of an example workspace: in the installed package, else in the repository."""
    installed = Path(__file__).with_name("examples") / example
    return installed if installed.is_dir() else Path(__file__).parents[2] / "examples" / example


def registry_files(demos: Sequence[str]) -> list[Path]:
    """What describes the metrics of these demos."""
    files = [workspace(demo) / "metrics.toml" for demo in EXAMPLES if demo in demos]
    return files if set(demos) <= set(EXAMPLES) else [METRICS_FILE, *files]
