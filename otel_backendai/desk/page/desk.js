// Copyright The otel-backendai Authors
// SPDX-License-Identifier: Apache-2.0

// Which view the address asks for, and its refreshing: while somebody looks and the request is young.

import { el } from "./dom.js";
import { Palette } from "./format.js";
import { drawRecent } from "./recent.js";
import { drawRequest } from "./request.js";

const REFRESH_MS = 2000;
// Spans of one request come within seconds, those of its background work within a minute.
const YOUNG_MS = 90_000;
const TRACE_ID = /^[0-9a-f]{32}$/i;

const main = document.getElementById("main");
const live = document.getElementById("live");
// The part of an address after "#" names a span, as TRACE/SPAN, that is shown open: links between spans use it.
const kept = { opened: new Set([location.hash.slice(1)]), palette: new Palette(), hideLogs: false };
const loaded = Date.now();
let drawn = "";

function route() {
  const [, first, ...rest] = location.pathname.split("/");
  // "%" alone in an address is no encoding; then the text is meant as it stands.
  const text = rest.join("/");
  let id = text;
  try {
    id = decodeURIComponent(text);
  } catch {}
  if (first === "request") return { url: `/api/requests/${encodeURIComponent(id)}`, word: "Request", id };
  if (first === "trace") return { url: `/api/trace-view/${encodeURIComponent(id)}`, word: "Trace", id };
  return { url: "/api/requests?limit=100", word: "", id: "" };
}

function show(text, target) {
  if (text === drawn) return;
  drawn = text;
  const answer = JSON.parse(text);
  const redraw = () => { drawn = ""; show(text, target); };
  if (!target.word) return main.replaceChildren(...drawRecent(answer.requests, kept.palette));
  const title = { word: target.word, id: target.id, request: target.word === "Trace" ? answer.request_id : "" };
  main.replaceChildren(...drawRequest(answer, kept, redraw, title));
}

function isYoung(text) {
  const answer = JSON.parse(text);
  if (answer.requests) return true;
  const ends = [...answer.traces.flatMap((trace) => trace.spans.map((span) => span.end_ns)), ...answer.logs.map((log) => log.time_ns)];
  const latest = ends.reduce((a, b) => Math.max(a, b), 0) / 1e6;
  return Date.now() - latest < YOUNG_MS;
}

function note(...lines) {
  drawn = "";
  main.replaceChildren(el("section", { className: "summary" }, ...lines));
}

// Draws once; whether it is worth asking again.
async function refresh(target) {
  let response;
  try {
    response = await fetch(target.url, { headers: { Accept: "application/json" } });
  } catch {
    return !drawn ? (note(el("h1", { text: "The desk does not answer" })), true) : true;
  }
  const text = await response.text();
  if (response.ok) {
    show(text, target);
    return isYoung(text);
  }
  note(
    el("div", { className: "eyebrow", text: target.word }),
    el("h1", { className: "mono", text: target.id }),
    el("p", { className: "aside", text: response.status === 404 ? "Nothing is known of it here (yet). Spans arrive a few seconds after they end." : `The desk answered ${response.status}.` }),
  );
  return Date.now() - loaded < YOUNG_MS;
}

async function run() {
  const target = route();
  document.title = target.id ? `${target.id} · desk` : "otel-backendai desk";
  for (;;) {
    const again = document.hidden || (await refresh(target));
    live.hidden = !again;
    if (!again) return;
    await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
  }
}

document.getElementById("search").addEventListener("submit", async (event) => {
  event.preventDefault();
  const id = document.getElementById("query").value.trim();
  if (!id) return;
  // A request ID may look like a trace ID (and is one in some clients): the request comes first.
  const known = TRACE_ID.test(id) && !(await fetch(`/api/requests/${encodeURIComponent(id)}`)).ok;
  location.assign(`/${known ? "trace" : "request"}/${encodeURIComponent(id)}`);
});

run();
