"""The overview: a tile per metric. Tiles are drawn by assets/tiles.js from the push."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, html

WINDOW_NAMES = {"1m": "1 min", "5m": "5 min", "1h": "1 hour"}
GHOSTS = 8


def page() -> Any:
    """The page before its first numbers."""
    return html.Div(
        [
            html.H1("Overview", className="tb-unseen"),
            html.Div(
                [
                    dmc.SegmentedControl(
                        id="window",
                        data=[{"value": value, "label": name} for value, name in WINDOW_NAMES.items()],
                        value="1m",
                        size="sm",
                        attributes={"root": {"aria-label": "Rolling window of the large number"}},
                    ),
                    html.Span("and its change against the window before", className="tb-note tb-wide"),
                    html.Span(id="correct", className="tb-correct"),
                ],
                className="tb-controls",
            ),
            html.Div(
                [html.Div(className="tb-tile tb-ghost") for _ in range(GHOSTS)],
                id="tiles",
                className="tb-tiles",
                **{"aria-busy": "true"},
            ),
        ],
        id="overview",
    )


def add_callbacks(dash: Dash) -> None:
    """The window of the large number is a matter of the page alone."""
    dash.clientside_callback(
        ClientsideFunction("tallyboard", "window"),
        Output("overview", "data-window"),
        Input("window", "value"),
        prevent_initial_call=True,
    )
