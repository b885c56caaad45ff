"""The colours of both themes, as assets/tokens.css has them (a test compares the two).

Figures name colours as `var(--tb-…)`, so that one figure serves both themes; whatever has no style sheet, such as a
report, takes the values from here.
"""

from __future__ import annotations

from collections.abc import Mapping

LIGHT: Mapping[str, str] = {
    "bg": "#F6F7F9",
    "surface": "#FFFFFF",
    "raised": "#FFFFFF",
    "sunken": "#EEF0F4",
    "text": "#14181F",
    "muted": "#566070",
    "faint": "#667080",
    "accent": "#1F5FD0",
    "on-accent": "#FFFFFF",
    "good": "#00705C",
    "bad": "#A8102E",
    "warn": "#946200",
    "stale": "#5D6472",
    "control": "#868F9D",
    "compare": "#7B8AA2",
    "other": "#8A93A1",
    "line": "#E3E7ED",
    "grid": "#E9ECF1",
    "accent-soft": "#E4EDFC",
    "accent-bar": "#D5E4FB",
    "hover": "#BCD4F8",
    "bar-off": "#EBEEF3",
    "good-soft": "#DFF3EE",
    "bad-soft": "#FBE7EA",
    "warn-soft": "#FFF3D6",
    "stale-soft": "#ECEEF2",
    "fill": "rgba(31,95,208,0.08)",
    "cat-1": "#1F5FD0",
    "cat-2": "#C17E18",
    "cat-3": "#0B5947",
    "cat-4": "#C42A67",
    "cat-5": "#1399C4",
    "seq-1": "#E7F1FE",
    "seq-2": "#BED0E8",
    "seq-3": "#97AED1",
    "seq-4": "#728EBB",
    "seq-5": "#4F6EA4",
    "seq-6": "#2F4E8E",
    "seq-7": "#132D77",
}

DARK: Mapping[str, str] = {
    "bg": "#0F1216",
    "surface": "#171B21",
    "raised": "#1E232B",
    "sunken": "#0B0E11",
    "text": "#E8EBF0",
    "muted": "#A3ACB9",
    "faint": "#8E98A6",
    "accent": "#6EA8FF",
    "on-accent": "#0B1220",
    "good": "#3DD6B4",
    "bad": "#FF7D73",
    "warn": "#F5C451",
    "stale": "#A7AFBC",
    "control": "#6C7787",
    "compare": "#7A889E",
    "other": "#5F6875",
    "line": "#2A313B",
    "grid": "#242A33",
    "accent-soft": "#1A2B47",
    "accent-bar": "#1E3457",
    "hover": "#274673",
    "bar-off": "#252C36",
    "good-soft": "#12302A",
    "bad-soft": "#3A1C1B",
    "warn-soft": "#352A12",
    "stale-soft": "#262C35",
    "fill": "rgba(110,168,255,0.10)",
    "cat-1": "#6EA8FF",
    "cat-2": "#E64A05",
    "cat-3": "#4F8D68",
    "cat-4": "#A6648D",
    "cat-5": "#C4E3EB",
    "seq-1": "#1D2638",
    "seq-2": "#354357",
    "seq-3": "#4F6279",
    "seq-4": "#6A839C",
    "seq-5": "#87A6C0",
    "seq-6": "#A4CAE5",
    "seq-7": "#D2ECFD",
}

CATEGORIES = ("cat-1", "cat-2", "cat-3", "cat-4", "cat-5")


def variable(token: str) -> str:
    """The style sheet's name of a token, usable wherever a colour is: `variable("accent")` → `var(--tb-accent)`."""
    if token not in LIGHT:
        raise KeyError(token)
    return f"var(--tb-{token})"


def stylesheet() -> str:
    """The declarations of both themes, as they stand in assets/tokens.css."""

    def block(tokens: Mapping[str, str]) -> str:
        return "\n".join(f"  --tb-{name}: {value};" for name, value in tokens.items())

    return (
        f":root {{\n  color-scheme: light;\n{block(LIGHT)}\n}}\n\n"
        f':root[data-mantine-color-scheme="dark"] {{\n  color-scheme: dark;\n{block(DARK)}\n}}\n'
    )
