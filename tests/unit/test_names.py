# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The names on the wire stand in one module."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import otel_backendai
from otel_backendai import names

PACKAGE = Path(otel_backendai.__file__).parent

# Words of everyday English: as string constants they mean other things elsewhere (keyword names, log texts).
EVERYDAY = {
    "args",
    "background",
    "callosum",
    "event",
    "headers",
    "hop",
    "http",
    "metadata",
    "name",
    "origin",
    "otel",
    "payload",
    "rpc",
    "source",
    "timestamp",
}


def texts(value: object) -> Iterator[str]:
    """The strings in ``value``."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from texts(part)


CONSTANTS = {name: value for name, value in vars(names).items() if name.isupper()}
# The desk's own JSON API, which is no wire of a cluster.
ELSEWHERE = {("desk/query.py", "request_id")}
WIRE_NAMES = {text for value in CONSTANTS.values() for text in texts(value)} - EVERYDAY
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "names.py")


def string_constants(tree: ast.Module) -> Iterator[ast.Constant]:
    """All string constants of a module but its docstrings."""
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_name_of_the_wire_is_written_a_second_time(module: Path) -> None:
    """A header, field, attribute, metric or setting is spelt in names.py and nowhere else in the package."""
    spellings = WIRE_NAMES | {name.lower() for name in WIRE_NAMES if "-" in name}
    again = [
        f"{module.name}:{node.lineno}: {node.value!r}"
        for node in string_constants(ast.parse(module.read_text()))
        if node.value in spellings and (str(module.relative_to(PACKAGE)), node.value) not in ELSEWHERE
    ]
    assert not again


def test_the_contract() -> None:
    """The names are those of the design; changing one breaks peers of another version."""
    assert names.REQUEST_ID_HEADERS == ("X-Request-ID", "X-Backend-Request-ID", "X-BackendAI-RequestID")
    assert names.SENT_REQUEST_ID_HEADERS == ("X-Request-ID", "X-BackendAI-RequestID")
    assert names.HEADER_RESPONSE_REQUEST_ID == "X-Backend-Request-ID"
    assert names.W3C_FIELDS == ("traceparent", "tracestate", "baggage")
    assert (names.RPC_HEADERS, names.REQUEST_ID, names.METADATA) == ("headers", "request_id", "metadata")
    assert names.EVENT_FIELD == "otel"
    assert names.ATTRIBUTE_REQUEST_ID == "backendai.request.id"
    assert names.ATTRIBUTE_ORIGIN_COMPONENT == "backendai.request.origin.component"
    assert names.ATTRIBUTE_ORIGIN_DETAIL == "backendai.request.origin.detail"
    assert (names.METRIC_MINTED, names.METRIC_REJECTED) == ("backendai.request.minted", "backendai.request.rejected")
    assert (names.LOG_REQUEST_ID, names.LOG_TRACE_ID, names.LOG_SPAN_ID) == ("request_id", "otelTraceID", "otelSpanID")


def test_the_launcher_knows_the_settings_of_an_operator() -> None:
    """Each setting that an operator gives to a component is a flag of ``opentelemetry-instrument``."""
    from otel_backendai import environment_variables

    flags = {value for name, value in vars(environment_variables).items() if name.startswith("OTEL_")}
    assert flags == {
        names.SETTING_COMPONENT,
        names.SETTING_PEERS,
        names.SETTING_NOISE,
        names.SETTING_FLUSH_TIMEOUT,
        names.SETTING_LOG_TEXT,
        names.SETTING_UPSTREAM_SPANS,
        names.SETTING_SESSION_STORE,
        names.SETTING_SESSION_TTL,
        names.SETTING_SESSION_LIMIT,
    }
    assert all(getattr(environment_variables, flag) == flag for flag in flags)
