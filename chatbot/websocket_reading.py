"""uvicorn's websockets, which read no more of a client than it may say.

uvicorn 0.54 takes in all that a client sends: a client that sent pings and read no pong
made one socket hold 180 MB in 11 s, one that sent empty fragments 22 MB in 16 s, and a
read of 256 KB holds 40,000 small messages, whatever `ws_max_queue` says
(docs/measurements.md). It leaves bad handshakes unanswered, and writes a traceback for
each text that is not UTF-8.
"""

import codecs
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

# Parsed at once; a frame has at least 6 bytes, so that these are 682 frames at most.
_PIECE_BYTES = 4096
# Pings, pongs and parts of messages between two pings of ours: a browser sends one.
_MAX_WORDLESS_FRAMES = 1000
TOO_MANY = 4429  # as in docs/protocol.md
_BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


class ServerSide(ServerProtocol):
    """The protocol of websockets 17 with what it leaves to others or does otherwise.

    `num_wordless` counts frames that did not end a message.
    """

    num_wordless = 0
    _text: codecs.IncrementalDecoder | None = None

    def accept(self, request: Request) -> Response:
        """Return the answer to a handshake; one of another version is told ours.

        RFC 6455, section 4.2.2 (4).
        """
        response = super().accept(request)
        versions = request.headers.get_all("Sec-WebSocket-Version")
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS and versions != [
            "13"
        ]:
            response = self.reject(
                HTTPStatus.UPGRADE_REQUIRED, "This server speaks version 13.\n"
            )
            response.headers["Upgrade"] = "websocket"
            response.headers["Sec-WebSocket-Version"] = "13"
        return response

    def recv_frame(self, frame: Frame) -> None:
        """Take in a frame; raises UnicodeDecodeError at the first wrong byte."""
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None  # it may come within a message (section 5.4)
        super().recv_frame(frame)
        if frame.opcode is Opcode.TEXT:
            self._text = codecs.getincrementaldecoder("utf-8")()
        elif frame.opcode is Opcode.BINARY:
            self._text = None
        is_control = frame.opcode >= Opcode.CLOSE
        if is_control or not frame.fin:
            self.num_wordless += 1
        if self._text is not None and not is_control:
            self._text.decode(frame.data, frame.fin)


class BoundedWebSocketProtocol(WebSocketsSansIOProtocol):
    """One connection; it reads on when the application and the client keep up.

    What is read waits in `_unread`, at most one read of the event loop, while the
    application has `ws_max_queue` messages to handle or the client has 64 KB to take.
    """

    conn: ServerSide

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn = ServerSide(max_size=self.config.ws_max_size, logger=self.logger)
        self._unread = bytearray()
        self._num_late_bytes = 0
        self._is_closed_by_application = False

    def data_received(self, data: bytes) -> None:
        """Take in what came, as far as there is room for it."""
        self._unread += data
        self._read_on()

    def _read_on(self) -> None:
        while self._unread and self._has_room and not self.transport.is_closing():
            piece = bytes(self._unread[:_PIECE_BYTES])
            del self._unread[:_PIECE_BYTES]
            super().data_received(piece)
            self._check(len(piece))

    @property
    def _has_room(self) -> bool:
        """Return whether more can be read; all is, while the client's close is due."""
        has_room = self.queue.qsize() < self.config.ws_max_queue
        return self.close_sent or (has_room and self.writable.is_set())

    def _check(self, num_bytes: int) -> None:
        """Let a client go that says too much, or nothing that makes sense."""
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self._refuse_handshake()
        elif self.close_sent:
            self._num_late_bytes += num_bytes
            if self._num_late_bytes > self.config.ws_max_size:
                self.transport.abort()
        elif self.conn.num_wordless > _MAX_WORDLESS_FRAMES:
            self.conn.fail(TOO_MANY, "too many frames")
            self.handle_parser_exception()

    def _refuse_handshake(self) -> None:
        """Send what websockets answers, or its silence in words."""
        self.handshake_complete = self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()) or _BAD_REQUEST)
        self.transport.close()

    def pause_writing(self) -> None:
        """Read nothing that asks for an answer while answers are not taken."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        super().resume_writing()
        self._read_on()
        if self.writable.is_set() and not self.read_paused:
            self.transport.resume_reading()

    async def receive(self) -> Any:
        """Return what the application hears next, and read on behind it."""
        message = await super().receive()
        self._read_on()
        if not self.writable.is_set():
            self.transport.pause_reading()
        return message

    async def send(self, message: Any) -> None:
        """Send what the application says; raises ClientDisconnected after the end.

        uvicorn raises a RuntimeError where it was not the application that closed, and
        takes an HTTP answer for none.
        """
        await self.writable.wait()
        if self.close_sent and not self._is_closed_by_application:
            raise ClientDisconnected
        self._is_closed_by_application = message["type"] == "websocket.close"
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True

    def send_keepalive_ping(self) -> None:
        """Send a ping; the client may send so many frames again."""
        self.conn.num_wordless = 0
        super().send_keepalive_ping()
