# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The receiving side of the desk: OTLP/HTTP export requests into the store, and their copies to the forwarder."""

from aiohttp import web

from otel_backendai.desk.forward import ExportRequest, Forwarder
from otel_backendai.desk.otlp import JSON, decode_logs, decode_spans, decompress, media_type, status_body, success_body
from otel_backendai.desk.otlp_errors import MAX_BODY, OtlpError, too_large
from otel_backendai.desk.store import Store

_CONTENT_HEADERS = ("Content-Type", "Content-Encoding")


def receiver_routes(store: Store, forwarder: Forwarder | None) -> list[web.RouteDef]:
    """The routes of an OTLP/HTTP receiver that fills ``store``."""
    receiver = _Receiver(store, forwarder)
    return [
        web.post("/v1/traces", receiver.export),
        web.post("/v1/logs", receiver.export),
        web.post("/v1/metrics", receiver.export),
    ]


class _Receiver:
    def __init__(self, store: Store, forwarder: Forwarder | None) -> None:
        self._store = store
        self._forwarder = forwarder

    async def export(self, request: web.Request) -> web.Response:
        """One export request: 200, or the status of ``OtlpError`` with a google.rpc.Status."""
        media = JSON
        try:
            media = media_type(request.headers.get("Content-Type", ""))
            raw = await _read(request)
            self._accept(request.path, decompress(raw, request.headers.get("Content-Encoding", "")), media)
        except OtlpError as error:
            # The rest of a body that was not read would be taken for the next request.
            answer = web.Response(status=error.http_status, body=status_body(error, media), content_type=media)
            if not request.content.at_eof():
                answer.force_close()
            return answer
        if self._forwarder is not None:
            headers = {name: request.headers[name] for name in _CONTENT_HEADERS if name in request.headers}
            self._forwarder.offer(ExportRequest(request.path, headers, raw))
        return web.Response(body=success_body(media), content_type=media)

    def _accept(self, path: str, body: bytes, media: str) -> None:
        # Metrics are taken and dropped: a sender that exports all three signals would log an error for each otherwise.
        if path == "/v1/traces":
            spans = decode_spans(body, media)
            self._store.add_spans(spans, len(body) // max(1, len(spans)))
        elif path == "/v1/logs":
            logs = decode_logs(body, media)
            self._store.add_logs(logs, len(body) // max(1, len(logs)))


async def _read(request: web.Request) -> bytes:
    """The raw body. Raises ``OtlpError`` (413) before more than the allowed size is in memory."""
    if (request.content_length or 0) > MAX_BODY:
        raise too_large(MAX_BODY)
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > MAX_BODY:
            raise too_large(MAX_BODY)
        parts.append(part)
    return b"".join(parts)
