"""Log lines of every role: one fact a line on stderr, for people or, as JSON objects, for programs.

What varies is given as `extra={"key": value}`: it stands behind the sentence as `key=value`, or as fields of the
object.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final, Literal

LogFormat = Literal["text", "json"]
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_QUIET: Final = {"kafka": logging.CRITICAL, "aiokafka": logging.CRITICAL, "faust": logging.CRITICAL}
_QUIET_TOO: Final = {"mode": logging.CRITICAL, "uvicorn": logging.WARNING, "httpx": logging.WARNING}


def configure_logging(form: LogFormat = "text") -> None:
    """To be called once, when a role starts. The Kafka clients' own lines are left out: what matters of them is said
    by the role, and they repeat themselves while a broker is away."""
    import structlog  # 60 ms that commands which only name the setting need not pay

    renderer = structlog.processors.JSONRenderer(ensure_ascii=False) if form == "json" else _line
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name, level in {**_QUIET, **_QUIET_TOO}.items():
        logging.getLogger(name).setLevel(level)


def _line(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> str:
    """`time LEVEL logger: sentence key=value …`; a traceback follows on lines of its own."""
    head = f"{fields.pop('timestamp')} {fields.pop('level').upper()} {fields.pop('logger')}: {fields.pop('event')}"
    traceback = fields.pop("exception", None)
    line = one_line(" ".join([head, *(f"{name}={value}" for name, value in fields.items())]))
    return f"{line}\n{traceback}" if traceback else line


def one_line(text: str) -> str:
    """Control characters written out: nothing a client sends can forge a line."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)
