#!/usr/bin/env python
# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
Prints what otlp_sink.py collected: one tree per trace, then counts.

    python show_traces.py FILE [--since UNIX_SECONDS] [--grep TEXT] [--attrs] [--min N]
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

KIND = {1: "internal", 2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}


def show_trace(trace_id: str, group: list[dict[str, Any]], with_attributes: bool) -> None:
    t0 = min(s["start"] for s in group)
    services = sorted({str(s["service"]) for s in group})
    print(f"trace {trace_id}  {len(group)} spans  {', '.join(services)}")
    ids = {s["span"] for s in group}
    kids = defaultdict(list)
    for s in group:
        kids[s["parent"] if s["parent"] in ids else None].append(s)

    def show(parent: str | None, depth: int) -> None:
        for s in sorted(kids[parent], key=lambda s: int(s["start"])):
            a = s["attrs"]
            what = a.get("http.target") or a.get("url.path") or a.get("http.url") or a.get("url.full") or ""
            code = a.get("http.status_code") or a.get("http.response.status_code") or ""
            lost = " (parent not exported)" if s["parent"] and s["parent"] not in ids else ""
            print(
                f"  {'  ' * depth}{s['service']} {KIND.get(s['kind'], s['kind'])} {s['name']} {str(what)[:90]} {code}"
                f"  +{(s['start'] - t0) / 1e6:.0f}ms {(s['end'] - s['start']) / 1e6:.0f}ms{lost}"
            )
            if with_attributes:
                for k, v in sorted(a.items()):
                    print(f"  {'  ' * depth}    {k} = {v}")
            show(s["span"], depth + 1)

    show(None, 0)


def main() -> None:
    ap = argparse.ArgumentParser()
    ap.add_argument("file", type=Path)
    ap.add_argument("--since", type=float, default=0)
    ap.add_argument("--grep", default="", help="only traces in which some span contains this")
    ap.add_argument("--attrs", action="store_true")
    ap.add_argument("--min", type=int, default=1, help="only traces with at least N spans")
    args = ap.parse_args()

    rows = [json.loads(line) for line in args.file.read_text().splitlines()]
    spans = [r for r in rows if r["signal"] == "span" and r["start"] / 1e9 >= args.since]
    traces = defaultdict(list)
    for s in spans:
        traces[s["trace"]].append(s)
    shown = 0
    for trace_id, group in sorted(traces.items(), key=lambda item: min(s["start"] for s in item[1])):
        if len(group) >= args.min and args.grep in json.dumps(group):
            shown += 1
            show_trace(trace_id, group, args.attrs)

    print(f"\n{len(spans)} spans, {len(traces)} traces ({shown} shown)")
    counts = Counter((str(s["service"]), str(s["scope"]), s["kind"]) for s in spans)
    for (service, scope, kind), n in sorted(counts.items()):
        print(f"  {n:5}  {service:22} {KIND.get(kind, kind):9} {scope}")
    multi = [t for t, g in traces.items() if len({s["service"] for s in g}) > 1]
    print(f"  traces across services: {len(multi)}")
    logs = [r for r in rows if r["signal"] == "log"]
    if logs:
        correlated = sum(1 for r in logs if r["trace"] and r["trace"].strip("0"))
        print(f"  log records: {len(logs)}, with a trace id: {correlated}")
    metrics = Counter((str(r["service"]), str(r["name"])) for r in rows if r["signal"] == "metric")
    for (service, name), n in sorted(metrics.items()):
        print(f"  metric {service} {name} x{n}")


main()
