# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What ``otel-backendai trace`` costs: ``python -m bench.trace [--spans N] [--traces N] [--json]``.

A desk in a process of its own is filled with one stored request; the command, also a process, shows it from each
source and in each form. Prints the time of the whole command and the most memory that it had.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bench.fleet import ROOT
from otel_backendai.names import ATTRIBUTE_REQUEST_ID

_COMMAND = (sys.executable, "-c", "from otel_backendai.cli import main; main()")
_REQUEST_ID = "bench-request"
_SERVICES = ("webserver", "manager", "agent", "storage-proxy", "appproxy-coordinator", "appproxy-worker")
_CHUNK = 500
_TIMEOUT = 120.0
_FORMS = (("desk", ()), ("jaeger", ()), ("desk", ("--json",)), ("jaeger", ("--json",)))


@dataclass(frozen=True, slots=True)
class Cost:
    """One run: ``seconds`` from start to end, ``peak_bytes`` the largest resident set, ``output_bytes`` printed."""

    source: str
    form: str
    seconds: float
    peak_bytes: int
    output_bytes: int


def main() -> None:
    """Run the benchmark and print its result."""
    parser = argparse.ArgumentParser(prog="python -m bench.trace", description="What `otel-backendai trace` costs.")
    parser.add_argument("--spans", type=int, default=10_000, help="spans of the stored request [default: 10000]")
    parser.add_argument("--traces", type=int, default=5, help="traces that they are in [default: 5]")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments = parser.parse_args()
    with _desk() as url:
        for trace in range(arguments.traces):
            _fill(url, trace, arguments.spans // arguments.traces)
        nothing = _cost(url, "desk", (), "no-such-request", expected=1)
        costs = [_cost(url, source, options, _REQUEST_ID, expected=0) for source, options in _FORMS]
    if arguments.json:
        json.dump({"nothing_found": asdict(nothing), "found": [asdict(cost) for cost in costs]}, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    print(f"trace: a stored request of {arguments.spans} spans in {arguments.traces} traces\n")
    print(f"{'source':8}{'form':16}{'seconds':>9}{'peak MiB':>10}{'printed MiB':>13}")
    for cost in (nothing, *costs):
        peak, printed = cost.peak_bytes / 2**20, cost.output_bytes / 2**20
        print(f"{cost.source:8}{cost.form:16}{cost.seconds:9.2f}{peak:10.0f}{printed:13.1f}")


@contextmanager
def _desk() -> Iterator[str]:
    command = [*_COMMAND, "desk", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)  # noqa: S603  # our own
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[4]
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def _fill(url: str, trace: int, count: int) -> None:
    """Export one trace: chains and fans, over all services, with attributes like those of an HTTP span."""
    start_ns = time.time_ns() - 60 * 10**9 + trace * 10**9
    for first in range(0, count, _CHUNK):
        request = ExportTraceServiceRequest()
        scopes = {}
        for service in _SERVICES:
            resource_spans = request.resource_spans.add()
            resource_spans.resource.attributes.add(key="service.name").value.string_value = service
            scopes[service] = resource_spans.scope_spans.add()
        for number in range(first, min(first + _CHUNK, count)):
            span = scopes[_SERVICES[number % len(_SERVICES)]].spans.add(
                trace_id=(trace + 1).to_bytes(16, "big"),
                span_id=(number + 1).to_bytes(8, "big"),
                # Number 0 is the root; each span has up to four below it.
                parent_span_id=((number - 1) // 4 + 1).to_bytes(8, "big") if number else b"",
                name=f"POST /sessions/{number % 50}",
                kind=Span.SPAN_KIND_SERVER,
                start_time_unix_nano=start_ns + number * 100_000,
                end_time_unix_nano=start_ns + number * 100_000 + 5_000_000,
            )
            for key, value in (
                (ATTRIBUTE_REQUEST_ID, _REQUEST_ID),
                ("http.request.method", "POST"),
                ("http.route", "/sessions/{id}"),
                ("url.path", f"/sessions/{number}"),
                ("server.address", "manager.internal"),
            ):
                span.attributes.add(key=key).value.string_value = value
        post = urllib.request.Request(  # noqa: S310  # the desk is our own
            f"{url}/v1/traces", request.SerializeToString(), {"Content-Type": "application/x-protobuf"}
        )
        with urllib.request.urlopen(post, timeout=_TIMEOUT):  # noqa: S310
            pass


def _cost(url: str, source: str, options: tuple[str, ...], request_id: str, *, expected: int) -> Cost:
    with tempfile.TemporaryFile() as output:
        begin = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603  # our own
            [*_COMMAND, "trace", request_id, "--endpoint", url, "--source", source, *options],
            stdout=output,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
        )
        # wait4 tells the memory of this one child.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != expected:
            raise RuntimeError(f"the command ended with {process.returncode} instead of {expected}")
        form = "nothing found" if expected else "JSON" if options else "trees"
        # Kilobytes on Linux.
        return Cost(source, form, seconds, usage.ru_maxrss * 1024, output.seek(0, os.SEEK_END))


if __name__ == "__main__":
    main()
