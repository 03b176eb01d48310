# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""One SERVER span per request beside contrib's aiohttp-server, wherever its middleware was inserted.

Its middleware asks the module's ``_excluded_urls`` first, in every train; ours answers "excluded" inside a request that
our own hop serves. That also heals the exported ``middleware`` object, which from 0.61 on answers 500 when nobody has
called ``instrument()``: Backend.AI 26.4.16 with its `[otel]` section enabled is down by that.
"""

import sys
from collections.abc import Callable
from typing import Any

import wrapt

from otel_backendai.guard import Guard
from otel_backendai.hops import http_server

MODULE = "opentelemetry.instrumentation.aiohttp_server"

_PATCH = Guard("contrib server: patch")


class ServedByUs:
    """Stands for contrib's list of excluded URLs; outside of our own scope the list behind it decides."""

    def __init__(self, excluded: Any) -> None:
        self.excluded = excluded

    def url_disabled(self, url: str) -> bool:
        """Whether contrib's middleware only passes the request on."""
        if http_server.is_serving():
            return True
        return bool(self.excluded is not None and self.excluded.url_disabled(url))


class _Guarding:
    def __init__(self) -> None:
        self._active = False
        self._hooked = False
        self._original: Callable[..., Any] | None = None

    def install(self) -> None:
        """Start to stand before contrib's list, now or when its module is imported. A second call changes nothing."""
        if self._active:
            return
        self._active = True
        if MODULE in sys.modules:
            self._patch(sys.modules[MODULE])
        elif not self._hooked:
            self._hooked = True
            wrapt.register_post_import_hook(self._patch, MODULE)

    def uninstall(self) -> None:
        """Put contrib's own list and method back."""
        self._active = False
        module: Any = sys.modules.get(MODULE)
        if module is None or self._original is None:
            return
        module.AioHttpServerInstrumentor._instrument = self._original
        self._original = None
        if isinstance(module._excluded_urls, ServedByUs):
            module._excluded_urls = module._excluded_urls.excluded

    def _patch(self, module: Any) -> None:
        if not self._active or self._original is not None:
            return
        with _PATCH:
            original = module.AioHttpServerInstrumentor._instrument

            def _instrument(instrumentor: Any, **kwargs: Any) -> None:
                original(instrumentor, **kwargs)
                # It has just replaced the list by a new one.
                if self._active and not isinstance(module._excluded_urls, ServedByUs):
                    module._excluded_urls = ServedByUs(module._excluded_urls)

            module.AioHttpServerInstrumentor._instrument = _instrument
            module._excluded_urls = ServedByUs(module._excluded_urls)
            self._original = original


GUARDING = _Guarding()
