// Copyright The otel-backendai Authors
// SPDX-License-Identifier: Apache-2.0

// The view of one request (or of one trace): what was reached, every trace, every log line.

import { logDetails } from "./details.js";
import { el } from "./dom.js";
import { ago, clock, count, date, duration } from "./format.js";
import { extent, placeLogs, spanRows } from "./tree.js";
import { levelOf, toggled, waterfall } from "./waterfall.js";

// `kept` lives as long as the page: {opened, palette, hideLogs}. `redraw` draws the same answer again.
export function drawRequest(answer, kept, redraw, title) {
  const spans = answer.traces.flatMap((trace) => trace.spans);
  const whole = extent(spans, answer.logs);
  // Colours by order of appearance in time, so that a reload gives the same ones.
  for (const span of spans.toSorted((a, b) => a.start_ns - b.start_ns)) kept.palette.hue(span.service);
  const view = { opened: kept.opened, palette: kept.palette, start: whole.start };
  const traces = answer.traces.map((trace) => ({ trace_id: trace.trace_id, rows: spanRows(trace.spans) }));
  const left = placeLogs(traces, kept.hideLogs ? [] : answer.logs);
  return [
    summary(answer, spans, whole, kept, redraw, title),
    ...traces.map((trace) => waterfall(trace, view)),
    left.length ? loose(left, view) : null,
  ].filter(Boolean);
}

function summary(answer, spans, whole, kept, redraw, title) {
  const failed = spans.filter((span) => span.status === "error").length;
  const failedLines = answer.logs.filter((log) => levelOf(log.severity) === "bad").length;
  const fact = (text, className = "") => el("span", { className: `fact ${className}`, text });
  const toggle = el("button", {
    className: "switch",
    text: kept.hideLogs ? "Show log lines" : "Hide log lines",
    on: { click: () => { kept.hideLogs = !kept.hideLogs; redraw(); } },
  });
  return el(
    "section",
    { className: "summary" },
    el("div", { className: "eyebrow", text: title.word }),
    el("div", { className: "headline" }, el("h1", { className: "mono", text: title.id }), answer.logs.length ? toggle : null),
    title.request ? el("p", { className: "aside" }, "of request ", el("a", { className: "mono", text: title.request, href: `/request/${encodeURIComponent(title.request)}` })) : null,
    el(
      "div",
      { className: "factline" },
      spans.length ? fact(duration(whole.length), "strong") : null,
      failed ? fact(count(failed, "failed span"), "bad") : null,
      failedLines ? fact(count(failedLines, "error line"), "bad") : null,
      // Said only where there is something that could have failed.
      spans.length && !failed && !failedLines ? fact("no errors", "good") : null,
      fact(count(answer.traces.length, "trace")),
      fact(count(spans.length, "span")),
      fact(count(answer.logs.length, "log line")),
      fact(`${date(whole.start)} ${clock(whole.start)}, ${ago(whole.end)}`),
    ),
    components(spans, kept.palette),
  );
}

// The components reached, in the order in which their first spans started.
function components(spans, palette) {
  const reached = new Map();
  for (const span of spans.toSorted((a, b) => a.start_ns - b.start_ns)) {
    const one = reached.get(span.service) ?? { spans: 0, errors: 0 };
    one.spans += 1;
    one.errors += span.status === "error" ? 1 : 0;
    reached.set(span.service, one);
  }
  const chips = [...reached].map(([service, one]) =>
    el(
      "li",
      { className: `chip${one.errors ? " bad" : ""}`, style: { "--hue": palette.hue(service) }, title: one.errors ? count(one.errors, "error") : "" },
      el("span", { className: "swatch" }),
      el("span", { text: service }),
      el("b", { text: String(one.spans), title: count(one.spans, "span") }),
    ),
  );
  return el("ul", { className: "chips", title: "Components reached, in order" }, ...chips);
}

function loose(logs, view) {
  const rows = logs.map((log) => {
    const node = el(
      "div",
      { className: "row loose" },
      el("span", { className: "mono when", text: clock(log.time_ns) }),
      el("span", { className: `level ${levelOf(log.severity)}`, text: log.severity || "LOG" }),
      el("span", { className: "service", text: log.service }),
      el("span", { className: "message", text: log.body, title: log.body }),
    );
    return toggled(node, `${log.time_ns}/${log.body}`, () => logDetails(log), view);
  });
  return el("section", { className: "trace" }, el("div", { className: "trace-head" }, el("h2", { text: "Log lines without a trace" })), ...rows);
}
