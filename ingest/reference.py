"""The page `/docs`: the OpenAPI document as one plain page that loads nothing from elsewhere. Pure."""

from __future__ import annotations

import json
from html import escape
from typing import Any

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "pre{overflow:auto;padding:.75rem;border:1px solid #8888;border-radius:6px;font:12px/1.4 ui-monospace,monospace}"
    "h2{margin-top:2.5rem}dt{font-weight:600}"
)


def page(document: dict[str, Any]) -> str:
    """HTML of an OpenAPI document: every operation with its bodies and answers."""
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    operations = [
        _operation(path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f'<h1>{title}</h1><p>The same as a document for tools: <a href="/openapi.json">openapi.json</a></p>'
        + "".join(operations)
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    text = operation.get("description") or operation.get("summary", "")
    body = "".join(
        f"<h3>Body: {escape(kind)}</h3><pre>{_json(content)}</pre>"
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
    )
    answers = "".join(
        f"<dt>{escape(status)}</dt><dd>{escape(answer.get('description', ''))}"
        + "".join(f"<pre>{_json(content)}</pre>" for content in answer.get("content", {}).values())
        + "</dd>"
        for status, answer in operation.get("responses", {}).items()
    )
    return f"<h2>{method.upper()} {escape(path)}</h2><p>{escape(text)}</p>{body}<h3>Answers</h3><dl>{answers}</dl>"


def _json(content: object) -> str:
    return escape(json.dumps(content, indent=1, ensure_ascii=False))
