"""Options of the chaos tests: `pytest tests/chaos --chaos-seed 7 --chaos-scale 20`."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--chaos-seed", type=int, default=1, help="seed of the kills and of the load")
    group.addoption("--chaos-scale", type=float, default=1.0, help="events, kills and time times this")
