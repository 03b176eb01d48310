# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What smoke.py does with a 26.4 cluster: what it does with 26.9, in the same calls."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_spec = spec_from_file_location("scenario_26_9", Path(__file__).parents[1] / "26.9" / "scenario.py")
_module = module_from_spec(_spec)
_spec.loader.exec_module(_module)

STEPS, scenario = _module.STEPS, _module.scenario
# for drive_sessions.py
IMAGE, AsyncSession, Request, start_app = _module.IMAGE, _module.AsyncSession, _module.Request, _module.start_app
