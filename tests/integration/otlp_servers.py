# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Receivers that behave as told, well or badly: real sockets on loopback."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Request:
    """One request as it came: ``peer`` is the client's port, which names its connection."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    peer: int


@dataclass
class Reply:
    """One answer. ``close`` ends the connection afterwards without having said so."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    close: bool = False


@dataclass
class Server:
    """A running receiver. It gives the ``replies`` in their order, then plain 200s."""

    url: str
    port: int
    replies: list[Reply] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    answered: threading.Event = field(default_factory=threading.Event)
    # From now on the receiver cuts every connection instead of answering.
    cutting: bool = False


@contextmanager
def serving(tls: ssl.SSLContext | None = None, *replies: Reply) -> Iterator[Server]:
    """Receive until the block ends; over TLS with a context."""
    server: Server

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if server.cutting:
                reset(self.connection)
                self.close_connection = True
                return
            server.requests.append(Request(self.command, self.path, headers, body, self.client_address[1]))
            reply = server.replies.pop(0) if server.replies else Reply()
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)
            self.close_connection = reply.close
            server.answered.set()

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    class QuietServer(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Keep quiet about handshakes that the client refuses."""

        def finish_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]  # of sockets only
            if tls is None:
                super().finish_request(request, client_address)
                return
            # The handshake belongs to the connection's thread, not to the one that accepts.
            with tls.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)

    http_server = QuietServer(("127.0.0.1", 0), Handler)
    scheme = "https" if tls else "http"
    server = Server(f"{scheme}://127.0.0.1:{http_server.server_port}", http_server.server_port, list(replies))
    thread = threading.Thread(target=http_server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http_server.shutdown()
        http_server.server_close()
        thread.join(5)


@contextmanager
def raw_server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Call ``serve`` with each connection in a thread of its own; yields the port. Ends all connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []

    def handle(connection: socket.socket) -> None:
        # The client, or the end of the test, may close it.
        with suppress(OSError):
            serve(connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        # `shutdown` wakes the thread that accepts, `close` alone does not.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in connections:
            connection.close()
        thread.join(5)


def read_request(connection: socket.socket) -> bytes:
    """One request with its body, or what came before the client closed."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65536)
        if not part:
            return received
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    size = int(lengths[0].partition(b":")[2]) if lengths else 0
    while len(body) < size:
        part = connection.recv(65536)
        if not part:
            break
        body += part
    return head + b"\r\n\r\n" + body


def reset(connection: socket.socket) -> None:
    """Close with a RST instead of a FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Authority:
    """A certificate authority, a server's and a client's certificate, as files and contexts."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        self.file = str(directory / "ca.pem")
        authority.cert_pem.write_to_path(self.file)
        self._server = authority.issue_cert("127.0.0.1", "collector.internal")
        client = authority.issue_cert("client@example.org")
        self.client_certificate = str(directory / "client.pem")
        self.client_key = str(directory / "client.key")
        self.client_both = str(directory / "both.pem")
        client.cert_chain_pems[0].write_to_path(self.client_certificate)
        client.private_key_pem.write_to_path(self.client_key)
        client.private_key_and_cert_chain_pem.write_to_path(self.client_both)

    def context(self, client_wanted: bool = False) -> ssl.SSLContext:
        """For a server."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._server.configure_cert(context)
        if client_wanted:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.file)
        return context
