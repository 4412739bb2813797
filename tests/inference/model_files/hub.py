"""A stand-in for Hugging Face and its CDN, on real sockets, with every fault."""

import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub:
    """Files by name, and what goes wrong.

    `cuts` are numbers of bytes after which a body's connection is cut, one for each
    answer; `statuses` are answered before anything else. Requests are kept as
    (server, method, path, headers). With `hold` a body's connection stays open until
    that event.
    """

    def __init__(self):
        self.files = {}
        self.token = ""
        self.cuts = []
        self.statuses = []
        self.has_ranges = True
        self.tells_checksum = True
        self.false_checksum = ""
        self.loops = False
        self.requests = []
        self.hold = None
        self.is_sent = threading.Event()
        self.endpoint = self.cdn = ""

    def asked(self, server="hub", method="GET"):
        return [r for r in self.requests if r[0] == server and r[1] == method]

    def ranges(self):
        return [r[3].get("Range") for r in self.asked("cdn")]

    def answer(self, server, handler):
        headers = dict(handler.headers.items())
        self.requests.append((server, handler.command, handler.path, headers))
        if server == "hub":
            self._resolve(handler, headers)
        else:
            self._send_content(handler, headers)

    def _resolve(self, handler, headers):
        if self.statuses:
            return self._send(handler, self.statuses.pop(0))
        if self.token and headers.get("Authorization") != f"Bearer {self.token}":
            return self._send(handler, 401)
        name = handler.path.rsplit("/", 1)[1]
        if name not in self.files:
            return self._send(handler, 404)
        sha256 = hashlib.sha256(self.files[name]).hexdigest()
        told = {"x-linked-etag": f'"{self.false_checksum or sha256}"'}
        told["x-linked-size"] = str(len(self.files[name]))
        address = handler.path if self.loops else f"{self.cdn}/{name}?signed=yes"
        return self._send(
            handler, 302, {"Location": address} | (told if self.tells_checksum else {})
        )

    def _send_content(self, handler, headers):
        if handler.command == "HEAD":  # a signed address is for reading alone
            return self._send(handler, 403)
        content = self.files[handler.path[1:].split("?")[0]]
        start, status, told = 0, 200, {}
        if self.has_ranges and "Range" in headers:
            start = int(headers["Range"][len("bytes=") : -1])
            status = 206
            told = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        told["Content-Length"] = str(len(content) - start)
        body = content[start:]
        if self.cuts:
            body = body[: self.cuts.pop(0)]
        return self._send(handler, status, told, body)

    def _send(self, handler, status, told=None, body=b""):
        handler.send_response(status)
        for name, value in (told or {"Content-Length": "0"}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
        handler.wfile.flush()
        if self.hold is not None and body:
            self.is_sent.set()
            self.hold.wait(20)
        handler.close_connection = True


@contextmanager
def serve(hub, name):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            hub.answer(name, self)

        do_HEAD = do_GET  # noqa: N815 - as http.server wants it

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
