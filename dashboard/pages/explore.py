"""Explore: one chart with a metric, a measure, a dimension to split by and a time range.

The controls are filled and the chart is drawn by the page's scripts from the push; the address holds the state.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, html

from dashboard.state import SHOWN, parse, write_moment
from dashboard.tiles import MEASURE_WORDS

PRESETS = {"-5m": "5 min", "-15m": "15 min", "-1h": "1 h", "-6h": "6 h", "-24h": "24 h"}
NO_SPLIT = "-"


def page(search: str) -> Any:
    """The page for an address, its controls already on what the address says."""
    state, _ = parse(search)
    preset = write_moment(state.start) if state.live else ""
    return html.Div(
        [
            html.H1("Explore", className="tb-unseen"),
            html.Div(
                [
                    _select("metric", "Metric", [state.metric] if state.metric else [], state.metric, 280),
                    _select("measure", "Show", list(SHOWN), state.measure, 170, MEASURE_WORDS),
                    _select("by", "Split by", [NO_SPLIT, *([state.by] if state.by else [])], state.by or NO_SPLIT, 200),
                    dmc.SegmentedControl(
                        id="preset",
                        data=[{"value": value, "label": name} for value, name in PRESETS.items()],
                        value=preset if preset in PRESETS else "",
                        attributes={"root": {"aria-label": "Time range"}},
                    ),
                    dmc.TextInput(
                        id="range",
                        placeholder="or -90m",
                        value="" if preset in PRESETS else preset,
                        w=110,
                        attributes={"input": {"aria-label": "Other time range, for example -90m", "spellCheck": False}},
                    ),
                    html.Span(id="correct", className="tb-correct"),
                ],
                className="tb-controls",
            ),
            html.Div(id="chips", className="tb-chips", hidden=True),
            html.Div(id="notices", className="tb-notices", role="status", hidden=True),
            html.Div(
                [_chart(), html.Section(id="leaders", className="tb-tile tb-leaders", hidden=True)],
                className="tb-split",
            ),
        ],
        id="explore",
    )


def add_callbacks(dash: Dash) -> None:
    """Controls write the address; everything else follows from it."""
    dash.clientside_callback(
        ClientsideFunction("tallyboard", "chosen"),
        Output("explore", "data-chosen"),
        Input("metric", "value"),
        Input("measure", "value"),
        Input("by", "value"),
        Input("preset", "value"),
        Input("range", "n_submit"),
        State("range", "value"),
        prevent_initial_call=True,
    )


def _chart() -> Any:
    return html.Section(
        [
            html.Header(
                [
                    html.Div(
                        [
                            html.H2(id="chart-title", className="tb-name"),
                            html.Span(id="chart-measure", className="tb-measure"),
                        ],
                        className="tb-head",
                    ),
                    html.Div(id="chart-number", className="tb-headline"),
                ],
                className="tb-chart-head",
            ),
            _actions(),
            html.Div(
                [
                    html.Div(
                        id="plot",
                        className="tb-plot",
                        tabIndex="0",
                        role="img",
                        **{"aria-label": "Chart, loading", "data-plotly": plotly_url()},
                    ),
                    html.Div(id="tip", className="tb-tip", hidden=True),
                    html.P(id="chart-empty", className="tb-empty", hidden=True),
                ],
                className="tb-plot-frame",
            ),
            html.Details(
                [html.Summary("Table"), html.Div(id="table", className="tb-scroll", tabIndex="0")], id="table-box"
            ),
        ],
        id="chart",
        className="tb-tile tb-chart",
        **{"aria-busy": "true"},
    )


def _actions() -> Any:
    return html.Div(
        [
            html.Button("Back to live", id="to-live", className="tb-button tb-primary", hidden=True),
            html.Button("Copy link", id="copy-link", className="tb-button"),
            html.Button("Copy as curl", id="copy-query", className="tb-button"),
            html.A("CSV", id="csv", className="tb-button", download="tallyboard.csv"),
        ],
        className="tb-actions",
    )


def plotly_url() -> str:
    """Where the page finds plotly.js; its version in the address lets it be cached for long."""
    return f"/_dash-component-suites/plotly/package_data/plotly.min.js?m={version('plotly')}"


def _select(
    name: str, label: str, values: list[str], value: str | None, width: int, words: dict[str, str] | None = None
) -> Any:
    options = [{"value": v, "label": "nothing" if v == NO_SPLIT else (words or {}).get(v, v)} for v in values]
    return dmc.Select(
        id=name,
        data=options,
        value=value,
        searchable=name == "metric",
        allowDeselect=False,
        checkIconPosition="right",
        leftSection=html.Span(label, className="tb-prefix", **{"aria-hidden": "true"}),
        leftSectionWidth=24 + 7 * len(label),
        leftSectionPointerEvents="none",
        nothingFoundMessage="No metric of that name",
        maxDropdownHeight=360,
        w=width,
        className="tb-select",
        attributes={"input": {"aria-label": label}},
    )
