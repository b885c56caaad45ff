"""The explore page's controls of time: range with presets, calendar and a field to type in, comparison, time zone, and
in the chart its kind and step."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update

from aggregates.zones import zone_named
from dashboard.comparisons import MENU, WORDS
from dashboard.state import COMPARED, STEP_NAMES, Explore, parse, write
from dashboard.typed import typed_range

PRESETS = (
    ("-5m", "", "5 min"), ("-15m", "", "15 min"), ("-1h", "", "1 h"), ("-6h", "", "6 h"), ("-24h", "", "24 h"),
    ("today", "", "Today"), ("yesterday", "today", "Yesterday"),
    ("-7d", "", "7 d"), ("-30d", "", "30 d"), ("-90d", "", "90 d"), ("-365d", "", "1 y"),
)  # fmt: skip
"""From, to, and the words on the button."""
KINDS = {"lines": "Lines", "stacked": "Areas", "bars": "Bars", "heatmap": "Heatmap", "bands": "Bands"}
EXAMPLES = "last 90 min · yesterday · 20 Nov · 9:00 to 10:30"
NOT_UNDERSTOOD = f"Not understood. Try: {EXAMPLES}"


def range_controls() -> Any:
    """‹ the range ›, and what opens from it."""
    return html.Div(
        [
            html.Button("‹", id="range-earlier", className="tb-button tb-arrow", **{"aria-label": "The range before"}),
            dmc.Popover(
                [
                    dmc.PopoverTarget(
                        html.Button(
                            "Time range",
                            id="range-button",
                            className="tb-button tb-range-button",
                            **{"aria-haspopup": "dialog"},
                        )
                    ),
                    dmc.PopoverDropdown(_menu(), className="tb-range-menu"),
                ],
                id="range-menu",
                opened=False,
                position="bottom-start",
                trapFocus=True,
                returnFocus=True,
                keepMounted=True,
                withRoles=False,  # they would stand on an element without a role
                transitionProps={"duration": 0},
            ),
            html.Button("›", id="range-later", className="tb-button tb-arrow", **{"aria-label": "The range behind"}),
        ],
        className="tb-range",
    )


def compare_select(state: Explore) -> Any:
    """What the range is compared with."""
    words = {name: MENU.get(name, WORDS[name]) for name in COMPARED}
    return _select("compare", "vs", words, state.compare, 184)


def zone_select(state: Explore) -> Any:
    """The time zone of the page; the page's script adds the workspace's and the browser's."""
    name = state.timezone or ""
    return _select("zone", "", {name: name} if name else {}, name or None, 172)


def chart_controls(state: Explore) -> Any:
    """The kind of the chart and its step."""
    steps = {"auto": "auto", **{name: name for name in STEP_NAMES.values()}}
    return html.Div(
        [
            dmc.SegmentedControl(
                id="kind",
                data=[{"value": value, "label": name} for value, name in KINDS.items()],
                value=state.chart,
                attributes={"root": {"aria-label": "Kind of chart"}},
            ),
            _select("step", "Step", steps, "auto" if state.step_s is None else STEP_NAMES[state.step_s], 156),
        ],
        className="tb-chart-controls",
    )


def add_callbacks(dash: Dash) -> None:
    """A typed range is understood here, where it can be tested; everything else writes the address in the page."""
    dash.clientside_callback(
        ClientsideFunction("tallyboard", "typed"),
        Output("range-typed", "data"),
        Input("range", "n_submit"),
        State("range", "value"),
        prevent_initial_call=True,
    )
    dash.callback(
        Output("url", "search"),
        Output("range", "error"),
        Output("range-menu", "opened"),
        Input("range-typed", "data"),
        prevent_initial_call=True,
    )(understood)
    dash.clientside_callback(
        ClientsideFunction("tallyboard", "dated"),
        Output("calendar", "data-chosen"),
        Input("calendar", "value"),
        prevent_initial_call=True,
    )


async def understood(asked: dict[str, Any] | None) -> tuple[Any, Any, Any]:
    """The address of a typed range, or why there is none: (search, error, whether the menu stays open)."""
    if asked is None:
        return no_update, no_update, no_update
    found = typed_range(str(asked["text"]), int(asked["now"]), zone_named(str(asked["zone"])) or UTC)
    if found is None:
        return no_update, NOT_UNDERSTOOD, True
    state, _ = parse(str(asked["search"]))
    start, end = found
    search = write(replace(state, start=start, end=end, step_s=None))
    return f"?{search}" if search else "", "", False


def _menu() -> Any:
    presets = [
        html.Button(words, className="tb-preset", **{"data-from": start, "data-to": end, "aria-pressed": "false"})
        for start, end, words in PRESETS
    ]
    return html.Div(
        [
            html.Div(presets, id="presets", className="tb-presets", role="group", **{"aria-label": "Time ranges"}),
            html.Div(
                [
                    dmc.TextInput(
                        id="range",
                        placeholder="last 90 min",
                        description=EXAMPLES,
                        attributes={"input": {"aria-label": "Type a time range", "spellCheck": False}},
                    ),
                    dmc.DatePicker(
                        id="calendar",
                        type="range",
                        allowSingleDateInRange=True,
                        hideOutsideDates=True,
                        firstDayOfWeek=1,
                        size="sm",
                        ariaLabels={
                            "monthLevelControl": "Choose a month",
                            "yearLevelControl": "Choose a year",
                            "previousMonth": "Previous month",
                            "nextMonth": "Next month",
                        },
                    ),
                    dcc.Store(id="range-typed"),
                ],
                className="tb-range-side",
            ),
        ],
        className="tb-range-sheet",
        role="dialog",
        **{"aria-label": "Time range"},
    )


def _select(name: str, label: str, words: dict[str, str], value: str | None, width: int) -> Any:
    return dmc.Select(
        id=name,
        data=[{"value": v, "label": text} for v, text in words.items()],
        value=value,
        allowDeselect=False,
        checkIconPosition="right",
        leftSection=html.Span(label, className="tb-prefix", **{"aria-hidden": "true"}) if label else None,
        leftSectionWidth=24 + 7 * len(label) if label else None,
        leftSectionPointerEvents="none",
        maxDropdownHeight=360,
        w=width,
        className="tb-select",
        attributes={"input": {"aria-label": {"vs": "Compare with", "": "Time zone"}.get(label, label)}},
    )
