# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The exporter's settings: https://opentelemetry.io/docs/specs/otel/protocol/exporter/

Each is read for one signal first (``OTEL_EXPORTER_OTLP_TRACES_TIMEOUT``) and then for all
(``OTEL_EXPORTER_OTLP_TIMEOUT``); an empty variable counts as absent. A value that makes no sense gives one warning and
the default. No warning repeats a value: headers and endpoints hold credentials.
"""

import logging
import math
import os
import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote

_logger = logging.getLogger(__name__)

Signal = Literal["traces", "logs"]

DEFAULT_ENDPOINT = "http://localhost:4318"
DEFAULT_TIMEOUT = 10.0
COMPRESSIONS = ("none", "gzip", "deflate")

# RFC 9110, sections 5.1 and 5.5. Values keep to what every server reads the same.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")


@dataclass(frozen=True)
class Settings:
    """How and where one signal is exported to.

    Attributes:
        endpoint: The whole URL, signal path included.
        headers: By lower-case name; sent with every request, besides those that the protocol needs.
        timeout: Seconds that one batch may take, all attempts together.
        compression: One of :data:`COMPRESSIONS`.
        certificate: File of the authorities that vouch for the receiver; the system's when ``None``.
        client_certificate: File of the certificate (chain) to show to the receiver.
        client_key: File of its key; ``None`` when it is in the same file.
    """

    endpoint: str
    headers: dict[str, str] = field(default_factory=dict)
    timeout: float = DEFAULT_TIMEOUT
    compression: str = "none"
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None


def read_settings(signal: Signal) -> Settings:
    """Return what the environment says about ``signal``."""
    return Settings(
        endpoint=_endpoint(signal),
        headers=parse_headers(_read(signal, "HEADERS") or ""),
        timeout=_timeout(signal),
        compression=_compression(signal),
        certificate=_read(signal, "CERTIFICATE"),
        client_certificate=_read(signal, "CLIENT_CERTIFICATE"),
        client_key=_read(signal, "CLIENT_KEY"),
    )


def parse_headers(text: str) -> dict[str, str]:
    """Return the headers in ``text``: ``name=value`` by commas, percent-encoded, as in W3C baggage.

    Names become lower-case. What is no header is left out, with a warning that does not repeat it.
    """
    headers = {}
    for position, entry in enumerate(text.split(","), start=1):
        if not entry.strip():
            continue
        name, equals, value = (part.strip() for part in entry.partition("="))
        name, value = unquote(name), unquote(value).strip()
        if equals and _HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value):
            headers[name.lower()] = value
        else:
            _logger.warning("entry %d of OTEL_EXPORTER_OTLP_HEADERS is no name=value and is not sent", position)
    return headers


def _read(signal: Signal, name: str) -> str | None:
    for variable in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}", f"OTEL_EXPORTER_OTLP_{name}"):
        value = os.environ.get(variable, "").strip()
        if value:
            return value
    return None


def _endpoint(signal: Signal) -> str:
    # The signal's own is used as it is, the common one is a base.
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "").strip()
    if own:
        return own
    base = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() or DEFAULT_ENDPOINT
    return f"{base.removesuffix('/')}/v1/{signal}"


def _timeout(signal: Signal) -> float:
    # Seconds, as in all of OpenTelemetry for Python; the specification says milliseconds.
    text = _read(signal, "TIMEOUT")
    if text is None:
        return DEFAULT_TIMEOUT
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    # A day: no socket takes the largest numbers.
    if 0 < seconds <= 86_400:
        return seconds
    _logger.warning("OTEL_EXPORTER_OTLP_TIMEOUT is no number of seconds, %g are taken", DEFAULT_TIMEOUT)
    return DEFAULT_TIMEOUT


def _compression(signal: Signal) -> str:
    name = (_read(signal, "COMPRESSION") or "none").lower()
    if name in COMPRESSIONS:
        return name
    _logger.warning("OTEL_EXPORTER_OTLP_COMPRESSION is none of %s, nothing is compressed", ", ".join(COMPRESSIONS))
    return "none"
