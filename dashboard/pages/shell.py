"""The frame around every page: top bar, state of the connection, the place the page goes into."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html

from dashboard.pages import explore, overview
from dashboard.proxied import below
from dashboard.settings import DashboardSettings

PAGES = {"/": "Overview", "/explore": "Explore"}
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif'
BLUES = [
    "#E4EDFC", "#D5E4FB", "#BCD4F8", "#9DBDF3", "#6EA8FF", "#4A86EA", "#1F5FD0", "#1F5FD0", "#194EAB", "#133C84",
]  # fmt: skip

INDEX = """<!DOCTYPE html>
<html lang="en"WHERE>
  <head>
    {%metas%}
    <title>{%title%}</title>
    <link rel="icon" type="image/svg+xml" href="BASE/assets/mark.svg">
    <script src="BASE/assets/head.js?m=STAMP" data-plotly="BASE/PLOTLY"></script>
    {%css%}
  </head>
  <body>
    {%app_entry%}
    <footer>
      {%config%}
      {%scripts%}
      {%renderer%}
    </footer>
  </body>
</html>"""

SKELETON = """<div id="react-entry-point"><div aria-busy="true">
      <div class="tb-bar"><span class="tb-brand"><span class="tb-mark"></span>
        <span class="tb-brand-name">Tallyboard</span></span></div>
      <div class="tb-page"><div class="tb-controls"></div><div class="tb-tiles">TILES</div></div>
    </div></div>"""


def first_view(document: Callable[..., str]) -> Callable[..., str]:
    """Dash's way of making the document, with a first view in it that needs no script."""
    tiles = '<div class="tb-tile tb-ghost"></div>' * 8
    return lambda **parts: document(**{**parts, "app_entry": SKELETON.replace("TILES", tiles)})


def index_string(assets: Path, base: str) -> str:
    """The template of the document; the script that sets the theme stands before everything that paints."""
    stamp = str(int((assets / "head.js").stat().st_mtime))
    plotly = explore.plotly_url().removeprefix("/")
    where = f' data-base="{base}"' if base else ""
    return INDEX.replace("WHERE", where).replace("STAMP", stamp).replace("PLOTLY", plotly).replace("BASE", base)


def layout(base: str) -> Any:
    """The components of the frame; `base` is the path in front of addresses."""
    return dmc.MantineProvider(
        defaultColorScheme="auto",
        theme={
            "fontFamily": FONT,
            "fontFamilyMonospace": "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace",
            "primaryColor": "blue",
            "primaryShade": {"light": 6, "dark": 4},
            "colors": {"blue": BLUES},
            "defaultRadius": 6,
        },
        children=[
            dcc.Location(id="url", refresh="callback-nav"),
            dcc.Store(id="mounted"),
            dcc.Store(id="asked"),
            html.A("Skip to the numbers", href="#content", className="tb-skip"),
            top_bar(base),
            html.Div(id="banner", className="tb-banner", role="status", hidden=True),
            html.Main(html.Div(id="content", tabIndex="-1"), className="tb-page"),
            html.Div(id="said", className="tb-unseen", **{"aria-live": "polite"}),
        ],
    )


def top_bar(base: str) -> Any:
    """Name, pages, how live the numbers are, help and theme."""
    links = [dcc.Link(name, href=base + path, id={"page": path}, className="tb-link") for path, name in PAGES.items()]
    return html.Header(
        [
            dcc.Link(
                [html.Span(className="tb-mark"), html.Span("Tallyboard", className="tb-brand-name")],
                href=base + "/",
                className="tb-brand",
            ),
            html.Nav(links, className="tb-nav", **{"aria-label": "Pages"}),
            html.Div(
                [
                    html.Span(
                        [html.Span(className="tb-dot"), html.Span("Connecting", id="live-text")],
                        id="live",
                        className="tb-live",
                        **{"data-state": "connecting"},
                    ),
                    html.Button(
                        html.Span(className="tb-pause"),
                        id="pause",
                        className="tb-icon",
                        title="Pause (space)",
                        **{"aria-label": "Pause", "aria-pressed": "false"},
                    ),
                    html.Button(
                        "?", id="help", className="tb-icon", title="Keyboard", **{"aria-label": "Keyboard help"}
                    ),
                    html.Button(
                        html.Span(className="tb-theme"),
                        id="theme",
                        className="tb-icon",
                        title="Theme",
                        **{"aria-label": "Theme: as the system"},
                    ),
                    html.Button(
                        html.Span(className="tb-leave"),
                        id="sign-out",
                        className="tb-icon",
                        hidden=True,
                        **{"aria-label": "Sign out"},
                    ),
                ],
                className="tb-right",
            ),
        ],
        className="tb-bar",
    )


def waiting(ingest_url: str) -> Any:
    """What is shown until there is a metric: the line that sends the first event."""
    event = {"metric": "orders.revenue", "value": 12.5, "dimensions": {"country": "NL", "product": "p17"}}
    line = f"curl {ingest_url.rstrip('/')}/v1/events -H 'Content-Type: application/json' -d '{json.dumps(event)}'"
    return html.Section(
        [
            html.H1("Waiting for the first event.", id="waiting-title"),
            html.P("Send one and it appears here in about a second."),
            html.Div(
                [
                    html.Pre(html.Code(line, id="curl"), tabIndex="0", **{"aria-label": "Command that sends an event"}),
                    html.Button("Copy", id="copy-curl", className="tb-button", **{"data-copy": line}),
                ],
                className="tb-command",
            ),
            html.P(
                ["More at once: a JSON array, or one object a line. ", "The metric needs no set-up."],
                className="tb-note",
            ),
        ],
        id="waiting",
        className="tb-waiting",
        hidden=True,
        **{"aria-labelledby": "waiting-title"},
    )


def add_callbacks(dash: Dash, settings: DashboardSettings) -> None:
    """The page for an address, and what the page's scripts are told."""

    async def page(path: str | None, search: str | None) -> Any:
        own = below(settings.base_path, path or "/")
        body = explore.page(search or "") if own == "/explore" else overview.page(search or "")
        return [waiting(settings.ingest_url), body]

    # the search is no input: a filter changes the page's content, never the page
    dash.callback(Output("content", "children"), Input("url", "pathname"), State("url", "search"))(page)
    dash.clientside_callback(
        ClientsideFunction("tallyboard", "mounted"), Output("mounted", "data"), Input("content", "children")
    )
    dash.clientside_callback(
        ClientsideFunction("tallyboard", "searched"),
        Output("asked", "data"),
        Input("url", "search"),
        Input("url", "pathname"),
    )
    explore.add_callbacks(dash)
    overview.add_callbacks(dash)
