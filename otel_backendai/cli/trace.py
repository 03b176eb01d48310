# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``otel-backendai trace``: the command line. What it does is in ``trace_run``."""

import sys

import click

from otel_backendai.cli.arguments import UsageError, base_url, number
from otel_backendai.cli.trace_run import TraceOptions, run_trace
from otel_backendai.cli.trace_source import DESK, JAEGER
from otel_backendai.desk.jaeger_params import ParameterError, parse_duration_ns
from otel_backendai.request_id import is_acceptable

_HIGHEST_LIMIT = 1_000
_EXAMPLE = "http://127.0.0.1:16686"


@click.command("trace")
@click.argument("identifier", metavar="REQUEST_ID")
@click.option("--source", metavar="KIND", help="desk or jaeger [default: what answers].")
@click.option("--endpoint", metavar="URL", help="Base URL of the source [default: a desk or a Jaeger on this machine].")
@click.option(
    "--since", default="24h", show_default=True, metavar="TIME", help="How far to look back: 90s, 15m, 1h30m."
)
@click.option("--limit", default="100", show_default=True, metavar="N", help="How many traces to show, the latest.")
@click.option("--follow", is_flag=True, help="Print spans as they arrive, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; with --follow one per line.")
def trace(
    identifier: str, source: str | None, endpoint: str | None, since: str, limit: str, follow: bool, as_json: bool
) -> None:
    """Show every trace that carries a request ID, as a tree on a time axis.

    REQUEST_ID may also be a trace ID, or the ID of a session, a kernel or a virtual folder where spans carry it.
    Ends with status 1 when nothing was found.
    """
    if not is_acceptable(identifier):
        raise UsageError("REQUEST_ID must be 1 to 128 characters of A-Z a-z 0-9 . _ : / + = @ -")
    if source not in (None, DESK, JAEGER):
        raise UsageError(f"--source must be {DESK} or {JAEGER}")
    options = TraceOptions(
        identifier=identifier,
        source=source,
        endpoint=None if endpoint is None else _endpoint(endpoint),
        since_ns=_since_ns(since),
        since_text=since,
        limit=_limit(limit),
        follow=follow,
        as_json=as_json,
    )
    try:
        sys.exit(run_trace(options))
    except KeyboardInterrupt:
        sys.exit(130)


def _endpoint(text: str) -> str:
    url = base_url("--endpoint", text, _EXAMPLE)
    # The address of Jaeger's page, as it is in a browser: paths of the API would end up in its query.
    if "?" in url or "#" in url:
        raise UsageError(f"--endpoint must be a URL like {_EXAMPLE}, without ? and #")
    return url


def _since_ns(text: str) -> int:
    try:
        since_ns = parse_duration_ns(text)
    except ParameterError:
        since_ns = 0
    # A source counts microseconds since 1970.
    if not 0 < since_ns < 50 * 365 * 24 * 3600 * 10**9:
        raise UsageError("--since must be a time like 90s, 15m or 1h30m")
    return since_ns


def _limit(text: str) -> int:
    return number("--limit", text, 1, _HIGHEST_LIMIT)
