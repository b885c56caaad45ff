"""The overview: a tile per metric. Tiles are drawn by assets/tiles.js from the push.

Its address says `window` (of the large number), `find` (what names contain) and `pin` (repeated: metrics that stand
first); see assets/overview.js.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, html

from dashboard.tiles import WINDOW_NAMES, WINDOWS

GHOSTS = 8
LONGEST = 8_192


def page(search: str = "") -> Any:
    """The page before its first numbers."""
    ghosts = [html.Div(className="tb-tile tb-ghost") for _ in range(GHOSTS)]
    return html.Div(
        [
            html.H1("Overview", className="tb-unseen"),
            html.Div(
                [
                    dmc.SegmentedControl(
                        id="window",
                        data=[{"value": value, "label": name} for value, name in WINDOW_NAMES.items()],
                        value=window_of(search),
                        size="sm",
                        attributes={"root": {"aria-label": "Rolling window of the large number"}},
                    ),
                    # the field is made by overview.js, which alone writes and reads it
                    html.Div(id="find-box", className="tb-find-box"),
                    html.Span(id="found", className="tb-note", role="status"),
                    html.Span(id="correct", className="tb-correct"),
                ],
                className="tb-controls tb-overview-controls",
            ),
            html.Div(html.Div(ghosts, className="tb-tiles"), id="tiles", **{"aria-busy": "true"}),
        ],
        id="overview",
    )


def window_of(search: str) -> str:
    """The window in an address, else the first."""
    wanted = parse_qs(search[:LONGEST].removeprefix("?")).get("window", [""])[-1]
    return wanted if wanted in WINDOWS else WINDOWS[0]


def add_callbacks(dash: Dash) -> None:
    """The window of the large number is a matter of the page alone."""
    dash.clientside_callback(
        ClientsideFunction("tallyboard", "window"),
        Output("overview", "data-window"),
        Input("window", "value"),
        prevent_initial_call=True,
    )
