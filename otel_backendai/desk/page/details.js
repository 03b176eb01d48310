// Copyright The otel-backendai Authors
// SPDX-License-Identifier: Apache-2.0

// What a click opens: everything that is known of a span or a log line.

import { el } from "./dom.js";
import { clock, date, duration, valueText } from "./format.js";

export function details(span) {
  const facts = {
    "span ID": span.span_id,
    "parent span ID": span.parent_span_id || "none (root)",
    kind: span.kind || "unspecified",
    started: `${date(span.start_ns)} ${clock(span.start_ns)}`,
    duration: duration(Math.max(0, span.end_ns - span.start_ns)),
    status: span.status_message ? `${span.status}: ${span.status_message}` : span.status,
    scope: [span.scope, span.scope_version].filter(Boolean).join(" "),
    "trace state": span.trace_state,
  };
  return el(
    "div",
    { className: "details" },
    table("Span", withoutEmpty(facts)),
    table("Attributes", span.attributes),
    ...span.events.map((event) => table(`Event +${duration(Math.max(0, event.time_ns - span.start_ns))}: ${event.name}`, event.attributes)),
    ...span.links.map(linkTable),
    table("Resource", span.resource),
  );
}

export function logDetails(log) {
  const facts = {
    message: log.body,
    time: `${date(log.time_ns)} ${clock(log.time_ns)}`,
    logger: log.logger,
    service: log.service,
    "trace ID": log.trace_id,
    "span ID": log.span_id,
  };
  return el("div", { className: "details" }, table("Log line", withoutEmpty(facts)), table("Attributes", log.attributes), table("Resource", log.resource));
}

function linkTable(link) {
  const target = el("a", { className: "mono", text: link.trace_id, href: `/trace/${link.trace_id}#${link.trace_id}/${link.span_id}` });
  return table("Link", { "trace ID": target, "span ID": link.span_id, ...link.attributes });
}

function table(title, values) {
  const entries = Object.entries(values).sort(([a], [b]) => (title === "Span" || title === "Log line" ? 0 : a < b ? -1 : 1));
  if (!entries.length && !title.startsWith("Event")) return null;
  const cells = entries.flatMap(([key, value]) => [
    el("dt", { text: key }),
    value instanceof Node ? el("dd", {}, value) : el("dd", { text: valueText(value) }),
  ]);
  return el("div", { className: "facts" }, el("h3", { text: title }), el("dl", {}, ...cells));
}

function withoutEmpty(facts) {
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value));
}
