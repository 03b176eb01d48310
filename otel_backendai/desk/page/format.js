// Copyright The otel-backendai Authors
// SPDX-License-Identifier: Apache-2.0

// Numbers and times as text, and the colour of a service.

const UNITS = [["ns", 1], ["µs", 1e3], ["ms", 1e6], ["s", 1e9]];

export function duration(ns) {
  if (ns >= 60e9) {
    const seconds = Math.round(ns / 1e9);
    return `${Math.floor(seconds / 60)}m ${seconds % 60}s`;
  }
  const [unit, size] = UNITS.findLast(([, size]) => ns >= size) ?? UNITS[0];
  const value = ns / size;
  // Three digits, and no zeros that say nothing.
  return `${Number(value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0))} ${unit}`;
}

export function clock(ns) {
  const time = new Date(ns / 1e6);
  const two = (number) => String(number).padStart(2, "0");
  const millis = String(time.getMilliseconds()).padStart(3, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${millis}`;
}

export function date(ns) {
  return new Date(ns / 1e6).toLocaleDateString(undefined, { year: "numeric", month: "short", day: "numeric" });
}

export function ago(ns) {
  const seconds = Math.max(0, Date.now() / 1e3 - ns / 1e9);
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

export function count(number, word) {
  return `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
}

export function valueText(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

// Steps of a ruler: at most six, at 1, 2 or 5 times a power of ten.
export function ticks(span) {
  if (!(span > 0)) return [0];
  const raw = span / 6;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= raw) * power;
  const steps = [];
  for (let at = 0; at <= span * 0.97; at += step) steps.push(at);
  return steps;
}

// OKLCH hues, none of them the red of errors. Services get them in order of appearance: neighbours differ, and no two
// of a request are alike before all are used.
const HUES = [258, 155, 62, 305, 345, 205, 95, 280, 130, 230, 180, 325];

export class Palette {
  #hues = new Map();

  hue(service) {
    if (!this.#hues.has(service)) this.#hues.set(service, HUES[this.#hues.size % HUES.length]);
    return String(this.#hues.get(service));
  }
}
