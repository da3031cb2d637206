"""A server between boto3 and MinIO that counts, alters or breaks what passes."""

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

HOP_HEADERS = ("connection", "transfer-encoding", "content-length", "expect")


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.path.partition("?")[2], True).items()}

    @property
    def is_part(self) -> bool:
        return self.method == "PUT" and "partNumber" in self.query


@dataclass
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    """Close the connection after so many bytes of the body."""
    silent: bool = False
    """Close the connection without a word."""


Handler = Callable[[Request], Answer]


@contextmanager
def serving(handler: Handler) -> Iterator[str]:
    """An HTTP server on loopback that answers with what `handler` returns; its address."""

    class Http(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            if self.headers.get("Expect", "").lower() == "100-continue":
                self.send_response_only(100)
                self.end_headers()
            body = self.rfile.read(length)
            answer = handler(Request(self.command, self.path, dict(self.headers.items()), body))
            if answer.silent:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if "Content-Length" not in answer.headers:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            try:
                if self.command != "HEAD":
                    self.wfile.write(answer.body if answer.cut is None else answer.body[: answer.cut])
            except OSError:  # the client has gone
                self.close_connection = True
            if answer.cut is not None:
                self.close_connection = True

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815 (the names that http.server looks for)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's name)
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # clients that go away are part of the tests

    server = Server(("127.0.0.1", 0), Http)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def forward(endpoint: str, request: Request) -> Answer:
    """Pass a request on to the store as it came."""
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=30)
    try:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_HEADERS}
        connection.request(request.method, request.path, request.body or None, headers)
        answer = connection.getresponse()
        body = answer.read()
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_HEADERS}
        if request.method == "HEAD":
            kept["Content-Length"] = answer.getheader("Content-Length", "0")
        return Answer(answer.status, kept, body)
    finally:
        connection.close()


def without_header(request: Request, name: str, user: str, password: str) -> Request:
    """The same request without a header, signed anew, as a gateway does that terminates the signature."""
    dropped = ("authorization", "x-amz-date", *HOP_HEADERS, name.lower())
    headers = {key: value for key, value in request.headers.items() if key.lower() not in dropped}
    host = next(value for key, value in headers.items() if key.lower() == "host")
    signed = AWSRequest(request.method, f"http://{host}{request.path}", headers=headers, data=request.body)
    S3SigV4Auth(Credentials(user, password), "s3", "us-east-1").add_auth(signed)
    return Request(request.method, request.path, dict(signed.headers.items()), request.body)


def free_port_url() -> str:
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
