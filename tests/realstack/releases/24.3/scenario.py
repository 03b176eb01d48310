# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What smoke.py does with a 24.3 cluster: what it does with 25.15, in the same calls."""

import os
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_spec = spec_from_file_location("scenario_25_15", Path(__file__).parents[1] / "25.15" / "scenario.py")
_module = module_from_spec(_spec)
_spec.loader.exec_module(_module)


async def close_app(http, proxy, session_id) -> None:
    # wsproxy keeps the port of an app until it is told, also after the session
    permit = next(cookie.value for cookie in http.cookie_jar if cookie.key == "appproxy_permit")
    url = f"{proxy}/v2/proxy/{os.environ['BACKEND_ACCESS_KEY']}/{session_id}/delete"
    async with http.get(url, params={"permit_key": permit}) as resp:
        resp.raise_for_status()


_module.close_app = close_app
STEPS, scenario = _module.STEPS, _module.scenario
# for drive_sessions.py
IMAGE, AsyncSession, Request, start_app = _module.IMAGE, _module.AsyncSession, _module.Request, _module.start_app
