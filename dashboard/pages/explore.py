"""Explore: one chart with a metric, a measure, a dimension to split by and a time range.

The controls are filled and the chart is drawn by the page's scripts from the push; the address holds the state.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, html

from dashboard.pages import ranges
from dashboard.state import SHOWN, Explore, parse
from dashboard.tiles import MEASURE_WORDS

NO_SPLIT = "-"


def page(search: str) -> Any:
    """The page for an address, its controls already on what the address says."""
    state, _ = parse(search)
    return html.Div(
        [
            html.H1("Explore", className="tb-unseen"),
            html.Div(
                [
                    _select("metric", "Metric", [state.metric] if state.metric else [], state.metric, 224),
                    _select("measure", "Show", list(SHOWN), state.measure, 164, MEASURE_WORDS),
                    _select("by", "Split by", [NO_SPLIT, *([state.by] if state.by else [])], state.by or NO_SPLIT, 174),
                    ranges.range_controls(),
                    ranges.compare_select(state),
                    ranges.zone_select(state),
                    html.Span(id="correct", className="tb-correct"),
                ],
                className="tb-controls",
            ),
            html.Div(id="chips", className="tb-chips", role="group", hidden=True, **{"aria-label": "Filters"}),
            html.Div(id="notices", className="tb-notices", role="status", hidden=True),
            html.Div(
                [
                    html.Div([_chart(state), _table()], className="tb-left"),
                    html.Div(id="leaders", className="tb-boards", hidden=True),
                ],
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
        Input("compare", "value"),
        Input("zone", "value"),
        Input("kind", "value"),
        Input("step", "value"),
        prevent_initial_call=True,
    )
    ranges.add_callbacks(dash)


def _chart(state: Explore) -> Any:
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
            ranges.chart_controls(state),
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
            html.Div(id="captions", className="tb-captions", hidden=True),
            html.Ul(id="notes", className="tb-note-list", hidden=True, **{"aria-label": "Annotations"}),
        ],
        id="chart",
        className="tb-tile tb-chart",
        **{"aria-busy": "true"},
    )


def _table() -> Any:
    """The table beneath the chart, and its files."""
    return html.Section(
        [
            html.Div(
                [
                    html.Button("Table", id="table-toggle", className="tb-toggle", **{"aria-expanded": "false"}),
                    html.A("CSV", id="csv", className="tb-button", download=""),
                    html.A("XLSX", id="xlsx", className="tb-button", download=""),
                ],
                className="tb-table-head",
            ),
            html.Div(
                id="table", className="tb-scroll", role="region", tabIndex="0", hidden=True, **{"aria-label": "Table"}
            ),
        ],
        className="tb-tile tb-table-tile",
    )


def _actions() -> Any:
    return html.Div(
        [
            html.Button("Back to live", id="to-live", className="tb-button tb-primary", hidden=True),
            html.Button("Annotate", id="annotate", className="tb-button", title="Annotate (m)"),
            html.Button("Copy link", id="copy-link", className="tb-button", **{"aria-haspopup": "menu"}),
            html.Button("Copy as curl", id="copy-query", className="tb-button"),
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
