#!/usr/bin/env python
# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
Drives the running cluster as its release's scenario.py says (the released
client SDK) and prints, per step, the outcome, the time and the log lines which
the components wrote meanwhile.

    . $REALSTACK_DIR/client.env
    $REALSTACK_DIR/venv/bin/python smoke.py [--only STEP,...] [--quiet] [--repeat N]
                                           [--header "name: value"] [--keep] [--report FILE]

FILE gets a list of {title, journey, waits, seconds, error, note}, as JSON: `journey` is
what the step is a part of, or "", and `waits` says that its time is that of a scheduler.
Exits 1 if a step fails.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import re
import sys
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "releases" / os.environ["REALSTACK_FAMILY"]))
release = importlib.import_module("scenario")

LOG_DIR = Path(os.environ["REALSTACK_DIR"]) / "log"
LOGS = {name: LOG_DIR / f"{name}.log" for name in os.environ["REALSTACK_COMPONENTS"].split()}
# what is said anyway, request or not
NOISE = re.compile(r"produce_event\(Do(Schedule|Start|Idle|Prepare|Scale|Check)|scheduler tick|GET_STATUS")


class Run:
    """What a scenario gets: the options, and step() around each thing it does."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.only = set(filter(None, args.only.split(",")))
        self.quiet: bool = args.quiet
        self.keep: bool = args.keep
        self.repeat: int = args.repeat
        self.headers = {name.strip(): value.strip() for name, _, value in (h.partition(":") for h in args.header)}
        self.failed: list[str] = []
        self.report: Path | None = args.report
        self.steps: list[dict[str, object]] = []
        self._journey = ""

    def want(self, name: str) -> bool:
        return not self.only or name in self.only

    @asynccontextmanager
    async def journey(self, title: str) -> AsyncIterator[None]:
        """Around the steps that are one thing to a user; what they have in common is a trace and a request ID."""
        self._journey = title
        try:
            yield
        finally:
            self._journey = ""

    @asynccontextmanager
    async def step(self, title: str, waits: bool = False) -> AsyncIterator[dict[str, object]]:
        """Times one step; what is put into the yielded dict is printed with it."""
        sizes = {name: path.stat().st_size for name, path in LOGS.items() if path.exists()}
        note: dict[str, object] = {}
        t0 = time.perf_counter()
        try:
            yield note
            verdict = "ok  "
        except Exception as e:
            verdict = "FAIL"
            self.failed.append(title)
            note["error"] = f"{type(e).__name__}: {e}"
            if not self.quiet:
                traceback.print_exc()
        took = time.perf_counter() - t0
        said = " ".join(f"{k}={v}" for k, v in note.items())
        print(f"{verdict} {title:28} {took * 1000:8.1f} ms  {said}", flush=True)
        self.steps.append(
            {
                "title": title,
                "journey": self._journey,
                "waits": waits,
                "seconds": took,
                "error": str(note.get("error", "")),
                "note": note,
            }
        )
        self.write_report()
        if not self.quiet:
            await asyncio.sleep(0.3)  # the log lines come through another process
            for name, path in LOGS.items():
                if path.exists():
                    self._show_log(name, path, sizes.get(name, 0))

    def write_report(self) -> None:
        """Write down what was done so far, if asked to."""
        if self.report is not None:
            self.report.write_text(json.dumps(self.steps, default=str))

    @staticmethod
    def _show_log(name: str, path: Path, start: int) -> None:
        with path.open("rb") as f:
            f.seek(start)
            for line in f.read().decode(errors="replace").splitlines():
                if line.strip() and not NOISE.search(line):
                    print(f"    {name:8}| {line[:230]}", flush=True)


def parser() -> argparse.ArgumentParser:
    """The options of a run."""
    ap = argparse.ArgumentParser()
    ap.add_argument("--only", default="", help=release.STEPS)
    ap.add_argument("--quiet", action="store_true", help="no log lines")
    ap.add_argument("--keep", action="store_true", help="leave the session and the folder")
    ap.add_argument("--repeat", type=int, default=1)
    ap.add_argument("--header", action="append", default=[], help="on every API request")
    ap.add_argument("--report", type=Path, help="file for what the steps did, see above")
    return ap


def drive(run: Run) -> None:
    """Go through the release's scenario, and end with 1 if a step failed."""
    asyncio.run(release.scenario(run))
    print("FAILED: " + ", ".join(run.failed) if run.failed else "all steps ok")
    sys.exit(bool(run.failed))


if __name__ == "__main__":
    drive(Run(parser().parse_args()))
