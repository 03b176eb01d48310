// Copyright The otel-backendai Authors
// SPDX-License-Identifier: Apache-2.0

// One trace as a waterfall: the tree of spans on the left, bars on a time axis on the right, log lines between.

import { details, logDetails } from "./details.js";
import { el, pressable } from "./dom.js";
import { clock, count, duration, ticks } from "./format.js";
import { extent } from "./tree.js";

// More rows make a browser slow and nobody wiser; a button shows the rest.
const FIRST_ROWS = 1500;
const DEEPEST_INDENT = 24;
const KIND_WORDS = { server: "server", client: "client", producer: "prod", consumer: "cons", internal: "" };

export function waterfall(trace, view) {
  const spans = trace.rows.map((row) => row.span);
  const axis = extent(spans);
  const body = el("div", { className: "rows" });
  const show = (rows) => body.append(...rows.flatMap((row) => spanRow(row, axis, view)));
  show(trace.rows.slice(0, FIRST_ROWS));
  const rest = trace.rows.slice(FIRST_ROWS);
  const more = rest.length
    ? el("button", { className: "more", text: `Show ${count(rest.length, "more span")}`, on: { click: () => { more.remove(); show(rest); } } })
    : null;
  return el("section", { className: "trace" }, heading(trace, spans, axis, view), ruler(axis), body, more);
}

function heading(trace, spans, axis, view) {
  const offset = axis.start - view.start;
  const failed = spans.filter((span) => span.status === "error").length;
  return el(
    "div",
    { className: "trace-head" },
    el("h2", { text: `${trace.rows[0].span.service}: ${trace.rows[0].span.name}`, title: trace.rows[0].span.name }),
    el("a", { className: "mono id", text: trace.trace_id, href: `/trace/${encodeURIComponent(trace.trace_id)}`, title: "This trace alone" }),
    el("span", { className: "spacer" }),
    offset > 0 ? el("span", { className: "fact", text: `starts at +${duration(offset)}` }) : null,
    failed ? el("span", { className: "fact bad", text: count(failed, "error") }) : null,
    el("span", { className: "fact", text: count(spans.length, "span") }),
    el("span", { className: "fact strong", text: duration(axis.length) }),
  );
}

function ruler(axis) {
  const marks = ticks(axis.length).map((at) =>
    el("span", { className: "tick", text: at ? duration(at) : "0", style: { left: `${(at / axis.length) * 100}%` } }),
  );
  return el("div", { className: "row ruler" }, el("div", { className: "name", text: "Component and operation" }), el("div", { className: "time" }, ...marks));
}

function grid(axis) {
  return ticks(axis.length).map((at) => el("i", { className: "grid", style: { left: `${(at / axis.length) * 100}%` } }));
}

function spanRow(row, axis, view) {
  const { span, depth, orphan, logs } = row;
  const hue = view.palette.hue(span.service);
  const error = span.status === "error";
  const key = `${span.trace_id}/${span.span_id}`;
  const name = el(
    "div",
    { className: "name", style: { "--depth": String(Math.min(depth, DEEPEST_INDENT)) } },
    el("span", { className: "swatch" }),
    el("span", { className: "service", text: span.service }),
    KIND_WORDS[span.kind] ? el("span", { className: `kind ${span.kind}`, text: KIND_WORDS[span.kind], title: `span kind: ${span.kind}` }) : null,
    el("span", { className: "operation", text: span.name, title: span.name }),
    orphan ? el("span", { className: "flag", text: "parent missing", title: `Parent span ${span.parent_span_id} never arrived` }) : null,
    span.links.length ? el("span", { className: "flag link", text: count(span.links.length, "link") }) : null,
  );
  const node = el("div", { className: `row span${error ? " error" : ""}`, style: { "--hue": hue } }, name, bar(span, axis));
  const logNodes = logs.map((placed) => logRow(placed, depth, axis, view));
  return [toggled(node, key, () => details(span), view), ...logNodes];
}

function bar(span, axis) {
  const left = ((span.start_ns - axis.start) / axis.length) * 100;
  const width = (Math.max(0, span.end_ns - span.start_ns) / axis.length) * 100;
  // The label stands right of the bar, left of it where there is no room, and inside where the bar leaves none at all.
  const side = left + width < 88 ? "after" : left > 12 ? "before" : "inside";
  const label = el("span", { className: `label ${side}`, text: duration(Math.max(0, span.end_ns - span.start_ns)) });
  const marks = span.events.map((event) =>
    el("i", { className: "event", title: event.name, style: { left: `${within(((event.time_ns - axis.start) / axis.length) * 100)}%` } }),
  );
  const shape = el("div", { className: "bar", style: { left: `${left}%`, width: `${width}%` } }, label);
  return el("div", { className: "time" }, ...grid(axis), shape, ...marks);
}

function logRow({ log, stray }, depth, axis, view) {
  const at = within(((log.time_ns - axis.start) / axis.length) * 100);
  const level = levelOf(log.severity);
  const text = el(
    "div",
    { className: "name", style: { "--depth": String(Math.min(depth, DEEPEST_INDENT)) } },
    el("span", { className: `level ${level}`, text: log.severity || "LOG" }),
    stray ? el("span", { className: "service", text: log.service }) : null,
    el("span", { className: "message", text: log.body, title: log.body }),
    stray ? el("span", { className: "flag", text: "no span", title: "Written outside any span that arrived; placed by its time" }) : null,
  );
  const dot = el("i", { className: `dot ${level}`, style: { left: `${at}%` }, title: clock(log.time_ns) });
  const offset = el("span", { className: `label ${at < 80 ? "after" : "before"}`, text: `+${duration(Math.max(0, log.time_ns - axis.start))}` });
  dot.append(offset);
  const node = el(
    "div",
    { className: `row log${stray ? " stray" : ""}`, style: { "--hue": view.palette.hue(log.service) } },
    text,
    el("div", { className: "time" }, ...grid(axis), dot),
  );
  return toggled(node, `${log.time_ns}/${log.trace_id}/${log.body}`, () => logDetails(log), view);
}

// A row that opens and closes its details, and stays open when the page is drawn anew.
export function toggled(node, key, draw, view) {
  const group = el("div", { className: "group" }, node);
  const apply = () => {
    const open = view.opened.has(key);
    node.setAttribute("aria-expanded", String(open));
    if (open && group.children.length === 1) group.append(draw());
    if (!open && group.children.length > 1) group.lastChild.remove();
  };
  pressable(node, () => {
    if (!view.opened.delete(key)) view.opened.add(key);
    apply();
  });
  apply();
  return group;
}

export function levelOf(severity) {
  const word = severity.toUpperCase();
  if (/^(ERROR|FATAL|CRITICAL)/.test(word)) return "bad";
  if (/^WARN/.test(word)) return "warn";
  return /^(DEBUG|TRACE)/.test(word) ? "quiet" : "info";
}

function within(percent) {
  return Math.min(100, Math.max(0, percent));
}
