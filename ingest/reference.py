"""The page `/docs`: the OpenAPI document as one plain page that loads nothing from elsewhere. Pure."""

from __future__ import annotations

import json
from html import escape
from typing import Any

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "pre{overflow:auto;padding:.75rem;border:1px solid #8888;border-radius:6px;font:12px/1.4 ui-monospace,monospace}"
    "h2{margin-top:2.5rem}dt{font-weight:600}dd p{margin:0}"
)


def page(document: dict[str, Any], address: str = "/openapi.json") -> str:
    """HTML of an OpenAPI document: every operation with examples, parameters, bodies and answers, then the schemas.

    Args:
        address: where the document is served.
    """
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    operations = [
        _operation(path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = "".join(
        f'<h3 id="{escape(name)}">{escape(name)}</h3><pre>{_json(schema)}</pre>'
        for name, schema in document["components"]["schemas"].items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f'<h1>{title}</h1><p>The same as a document for tools: <a href="{escape(address)}">openapi.json</a></p>'
        + "".join(operations)
        + f"<h2>Schemas</h2>{schemas}"
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    summary, text = operation.get("summary", ""), operation.get("description", "")
    return (
        f"<h2>{method.upper()} {escape(path)}</h2><p>{escape(summary)}. {escape(text)}</p>"
        + _section("Examples", [_sample(sample) for sample in operation.get("x-codeSamples", [])])
        + _section("Parameters", [_parameter(parameter) for parameter in operation.get("parameters", [])])
        + _section("Body", _bodies(operation.get("requestBody", {})))
        + _section("Answers", [_answer(status, answer) for status, answer in operation["responses"].items()])
    )


def _section(title: str, items: list[str]) -> str:
    return f"<h3>{title}</h3><dl>{''.join(items)}</dl>" if items else ""


def _sample(sample: dict[str, str]) -> str:
    return f"<dt>{escape(sample['label'])}</dt><dd><pre>{escape(sample['source'])}</pre></dd>"


def _parameter(parameter: dict[str, Any]) -> str:
    name = f"{parameter['name']} ({parameter['in']})"
    return f"<dt>{escape(name)}</dt><dd><p>{escape(parameter['description'])}</p></dd>"


def _bodies(body: dict[str, Any]) -> list[str]:
    return [
        f"<dt>{escape(media_type)}</dt><dd>{_schema(content['schema'])}"
        + "".join(f"<pre>{_example(example['value'])}</pre>" for example in content.get("examples", {}).values())
        + "</dd>"
        for media_type, content in body.get("content", {}).items()
    ]


def _answer(status: str, answer: dict[str, Any]) -> str:
    headers = "".join(
        f"<p>{escape(name)}: {escape(header['description'])}</p>" for name, header in answer.get("headers", {}).items()
    )
    contents = "".join(
        f"<p>{escape(media_type)}: {_schema(content['schema'])}</p>"
        for media_type, content in answer.get("content", {}).items()
    )
    return f"<dt>{escape(status)}</dt><dd><p>{escape(answer['description'])}</p>{headers}{contents}</dd>"


def _schema(schema: dict[str, Any]) -> str:
    """The name of a schema as a link, or of several; else its description or type."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return f'<a href="#{name}">{name}</a>'
    if "oneOf" in schema:
        return " or ".join(_schema(one) for one in schema["oneOf"])
    return escape(str(schema.get("description", schema.get("type", ""))))


def _example(value: object) -> str:
    return escape(value) if isinstance(value, str) else _json(value)


def _json(content: object) -> str:
    return escape(json.dumps(content, indent=1, ensure_ascii=False))
