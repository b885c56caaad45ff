"""Options of the chaos tests: `pytest tests/chaos --chaos-seed 7 --chaos-scale 5`."""

from __future__ import annotations

import pytest

TIMEOUT_S = 300.0


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--chaos-seed", type=int, help="seed of the kills and of the load")
    group.addoption("--chaos-scale", type=float, default=1.0, help="events, kills and time, times this")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    scale = float(config.getoption("--chaos-scale", 1.0))
    for item in items:
        if item.get_closest_marker("chaos"):
            item.add_marker(pytest.mark.timeout(TIMEOUT_S * max(1.0, scale)))
