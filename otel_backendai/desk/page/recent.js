// Copyright The otel-backendai Authors
// SPDX-License-Identifier: Apache-2.0

// The list of recent requests.

import { el } from "./dom.js";
import { ago, clock, count, duration } from "./format.js";

export function drawRecent(requests, palette) {
  if (!requests.length) {
    return [
      el(
        "section",
        { className: "summary" },
        el("h1", { text: "No requests yet" }),
        el("p", { className: "aside" }, "This desk receives OTLP/HTTP here: ", el("code", { text: `OTEL_EXPORTER_OTLP_ENDPOINT=${location.origin}` })),
      ),
    ];
  }
  const rows = requests.map((request) => line(request, palette));
  const head = el("div", { className: "line head" }, ...["Request", "Components", "Traces", "Spans", "Logs", "Duration", "Started"].map((text) => el("span", { text })));
  return [
    el("section", { className: "summary" }, el("h1", { text: "Recent requests" }), el("p", { className: "aside", text: `${count(requests.length, "request")}, the latest first` })),
    el("section", { className: "trace list" }, head, ...rows),
  ];
}

function line(request, palette) {
  const chips = request.services.map((service) =>
    el("span", { className: "chip small", style: { "--hue": palette.hue(service) } }, el("span", { className: "swatch" }), el("span", { text: service })),
  );
  return el(
    "a",
    { className: `line${request.error ? " error" : ""}`, href: `/request/${encodeURIComponent(request.request_id)}` },
    el("span", { className: "mono id", text: request.request_id, title: request.request_id }),
    el("span", { className: "chips" }, ...chips),
    el("span", { className: "number", text: String(request.trace_count) }),
    el("span", { className: "number", text: String(request.span_count) }),
    el("span", { className: "number", text: String(request.log_count) }),
    el("span", { className: "number strong" }, request.error ? el("span", { className: "fact bad", text: "error" }) : null, duration(request.duration_ns)),
    el("span", { className: "number", text: ago(request.start_ns), title: clock(request.start_ns) }),
  );
}
