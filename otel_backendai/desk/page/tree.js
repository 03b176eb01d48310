// Copyright The otel-backendai Authors
// SPDX-License-Identifier: Apache-2.0

// From spans and log lines to rows. Nothing here recurses and nothing trusts the parent links: a chain of ten
// thousand spans and a circle of two are both just data.

// Spans in the order of the tree, each as {span, depth, orphan, logs: []}. A span whose parent is not here is a root
// (`orphan` when it names one); so is the earliest span of a circle.
export function spanRows(spans) {
  const byId = new Map(spans.map((span) => [span.span_id, span]));
  const children = new Map();
  const roots = [];
  for (const span of spans) {
    if (!byId.has(span.parent_span_id)) roots.push(span);
    else if (children.has(span.parent_span_id)) children.get(span.parent_span_id).push(span);
    else children.set(span.parent_span_id, [span]);
  }
  const rows = [];
  const seen = new Set();
  const walk = (root) => {
    const open = [{ span: root, depth: 0 }];
    while (open.length) {
      const { span, depth } = open.pop();
      if (seen.has(span.span_id)) continue;
      seen.add(span.span_id);
      const orphan = depth === 0 && span.parent_span_id !== "";
      rows.push({ span, depth, orphan, logs: [] });
      for (const child of (children.get(span.span_id) ?? []).toReversed()) open.push({ span: child, depth: depth + 1 });
    }
  };
  roots.forEach(walk);
  spans.forEach(walk);
  return rows;
}

// Puts every log line where it belongs: under its span; else under the span that started last before it, marked
// `stray`, in the trace it names or else the trace that ran at its time. `traces` are {trace_id, rows}.
export function placeLogs(traces, logs) {
  const bySpan = new Map();
  for (const trace of traces) for (const row of trace.rows) bySpan.set(`${trace.trace_id}/${row.span.span_id}`, row);
  const left = [];
  for (const log of logs) {
    const own = bySpan.get(`${log.trace_id}/${log.span_id}`);
    const trace = own ? null : traces.find((one) => one.trace_id === log.trace_id) ?? traceAt(traces, log.time_ns);
    const row = own ?? (trace && rowAt(trace.rows, log.time_ns));
    if (row) row.logs.push({ log, stray: !own });
    else left.push(log);
  }
  return left;
}

function traceAt(traces, time) {
  const started = traces.filter((trace) => trace.rows.some((row) => row.span.start_ns <= time));
  return started.find((trace) => trace.rows.some((row) => row.span.end_ns >= time)) ?? started.at(-1) ?? traces[0];
}

function rowAt(rows, time) {
  let found = rows[0];
  for (const row of rows) {
    if (row.span.start_ns <= time && (found.span.start_ns > time || row.span.start_ns >= found.span.start_ns)) found = row;
  }
  return found;
}

export function extent(spans, logs = []) {
  let start = Infinity;
  let end = -Infinity;
  for (const { start_ns, end_ns } of spans) {
    start = Math.min(start, start_ns);
    end = Math.max(end, end_ns, start_ns);
  }
  for (const { time_ns } of spans.length ? [] : logs) {
    start = Math.min(start, time_ns);
    end = Math.max(end, time_ns);
  }
  return { start, end, length: Math.max(end - start, 1) };
}
