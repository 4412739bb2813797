"""The real server as a process of its own, and a client that keeps a history."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.ports import free_port
from tests.protocol import client_frame_errors, server_frame_errors

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Server:
    """`python -m chatbot` on a database of its own."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen | None = None
    password: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self) -> Path:
        return self.folder / "system.sqlite3"

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "DJANGO_SETTINGS_MODULE": "chatbot.settings",
            "DATABASE_URL": f"sqlite:///{self.database}",
            "SECRET_KEY": "a key for system tests only",
            "EMBEDDED_WORKER": "true",
            "MESSAGES_PER_MINUTE": "1000",
            "SESSIONS_PER_HOUR": "1000",
            "TURN_LEASE_S": "2",
            "REAPER_INTERVAL_S": "0.3",
            "PORT": str(self.port),
        } | self.settings  # fmt: skip

    def manage(self, *arguments: str) -> str:
        result = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        return result.stdout

    def set_up(self) -> None:
        """Make the database, without articles, and keep staff's password."""
        printed = self.manage("setup", "--no-samples")
        [self.password] = re.findall(r"password +(\S+)", printed)

    def set_up_like(self, other: "Server") -> None:
        """Take over what another server was set up with, which saves seconds."""
        shutil.copy(other.database, self.database)
        self.password = other.password

    def query(self, code: str) -> str:
        """Run Python in the server's Django; return what it prints."""
        code = (
            "from support.models import *; from inference.models import Backend; "
            + code
        )
        return self.manage("shell", "--no-imports", "-c", code).strip()

    def execute(self, statement: str, *values: object) -> list[tuple]:
        """Run SQL on the server's database: `query` takes seconds to start."""
        with closing(sqlite3.connect(self.database, timeout=20)) as database:
            rows = database.execute(statement, values).fetchall()
            database.commit()
        return rows

    def use_scripts(self, *scripts: str) -> None:
        """Leave one backend, a scripted one."""
        self.execute(
            "DELETE FROM inference_backend"
            " WHERE id > (SELECT min(id) FROM inference_backend)"
        )
        self.execute(
            "UPDATE inference_backend SET name = 'scripted', kind = 'scripted',"
            " options = ?, updated_at = ?",
            json.dumps({"scripts": list(scripts)}),
            datetime.now(UTC).replace(tzinfo=None).isoformat(" "),
        )

    def start(self, *arguments: str, timeout_s: float = 30) -> None:
        self.launch(*arguments)
        self.wait_until_up(timeout_s)

    def launch(self, *arguments: str) -> None:
        """Start without waiting."""
        self.log = open(self.folder / "server.log", "ab")  # noqa: SIM115 - closed in kill
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chatbot", *arguments],
            cwd=ROOT, env=self.environment, stdout=self.log, stderr=self.log,
            start_new_session=True,
        )  # fmt: skip

    def wait_until_up(self, timeout_s: float = 30) -> None:
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            assert self.process.poll() is None, self.read_log()
            try:
                urllib.request.urlopen(f"{self.url}/livez", timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"not up after {timeout_s} s: {self.read_log()}")

    def read_log(self) -> str:
        return (self.folder / "server.log").read_text()

    def kill(self) -> None:
        """SIGKILL the server, without a warning."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.log.close()
            self.process = None

    def interrupt(self, timeout_s: float = 15) -> int:
        """Press Ctrl-C; return the exit status."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(timeout_s)
        self.log.close()
        self.process = None
        return status

    def post(self, path: str, body: object) -> dict:
        request = urllib.request.Request(
            self.url + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Origin": self.url},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)


class Visitor:
    """A widget that survives the server; it shows text by the rules of the protocol."""

    def __init__(self, server: Server) -> None:
        self.server = server
        session = server.post("/widget/session", {"site": "demo"})
        self.renewal = session["renewal"]
        self.opened: Any = None
        self.socket: Any = None
        self.messages: dict[int, dict] = {}
        self.shown: dict[str, tuple[int, str]] = {}
        self.views: dict[str, list[tuple[int, str]]] = {}
        self.finals: dict[str, list[dict]] = {}
        self.acks: dict[str, dict] = {}
        self.status = "bot"

    def connect(self) -> None:
        """Open a socket with a fresh token and say what is on the screen."""
        self.disconnect()
        body = {"site": "demo", "renewal": self.renewal}
        token = self.server.post("/widget/session", body)["token"]
        address = f"ws://127.0.0.1:{self.server.port}/ws/chat/"
        self.opened = connect(address, origin=Origin(self.server.url))
        self.socket = self.opened.__enter__()
        hello = {"type": "hello", "protocol": 1, "token": token}
        hello["last_seq"] = self.last_seq
        for turn, (attempt, text) in self.shown.items():
            if turn not in self.finals:
                hello |= {"turn": turn, "attempt": attempt, "offset": len(text)}
        self.send(**hello)

    def disconnect(self) -> None:
        if self.socket is not None:
            self.opened.__exit__(None, None, None)
            self.socket = None

    @property
    def last_seq(self) -> int:
        return next(
            seq for seq in range(len(self.messages) + 1) if seq + 1 not in self.messages
        )

    def send(self, **frame) -> None:
        assert client_frame_errors(frame) == []
        self.socket.send(json.dumps(frame))

    def ask(self, content: str, client_id: str = "") -> str:
        client_id = client_id or f"client-{uuid4().hex}"
        self.send(type="send", client_id=client_id, content=content)
        return client_id

    def receive(self, timeout_s: float = 20) -> dict:
        frame = json.loads(self.socket.recv(timeout_s))
        assert server_frame_errors(frame) == []
        self._show(frame)
        return frame

    def receive_until(self, kind: str, timeout_s: float = 20) -> dict:
        until_s = time.monotonic() + timeout_s
        while (frame := self.receive(until_s - time.monotonic()))["type"] != kind:
            pass
        return frame

    def receive_outcomes(self, number: int, timeout_s: float = 30) -> None:
        """Read until so many turns have ended."""
        until_s = time.monotonic() + timeout_s
        while len(self.finals) < number:
            self.receive(until_s - time.monotonic())

    def receive_all(self, quiet_s: float = 0.3) -> None:
        """Read what has come, until nothing does for a while or the socket is cut."""
        try:
            while True:
                self.receive(quiet_s)
        except (TimeoutError, ConnectionClosed):
            pass

    def receive_reply(self) -> str:
        """Return the text of the reply that ends next."""
        return self.receive_until("done", 60)["message"]["content"].strip()

    def receive_close_code(self) -> int:
        """Return the code that the server closed with, after what it sent before."""
        self.receive_all(quiet_s=10)
        with pytest.raises(ConnectionClosed) as closed:
            self.receive()
        return closed.value.rcvd.code

    def _show(self, frame: dict) -> None:
        kind, turn = frame["type"], frame.get("turn", "")
        if kind in ("message", "done"):
            message = frame["message"]
            known = self.messages.setdefault(message["seq"], message)
            assert known["content"] == message["content"]
        if kind == "done":
            self.finals.setdefault(turn, []).append(frame)
        elif kind == "reset":
            self.shown[turn] = (frame["attempt"], "")
        elif kind == "delta":
            self._show_text(turn, frame)
        elif kind == "ack":
            self.acks[frame["client_id"]] = frame
        elif kind == "status":
            self.status = frame["status"]

    def _show_text(self, turn: str, frame: dict) -> None:
        attempt, text = self.shown.get(turn, (frame["attempt"], ""))
        assert frame["attempt"] == attempt, "text of another attempt without a reset"
        assert frame["offset"] == len(text), "text lost or repeated"
        self.shown[turn] = (attempt, text + frame["text"])
        self.views.setdefault(turn, []).append(self.shown[turn])

    def shown_text(self, turn: str) -> str:
        return self.shown.get(turn, (0, ""))[1]

    def check_views(self) -> None:
        """Assert that what was shown of each final reply's attempt is its prefix."""
        for turn, finals in self.finals.items():
            final = finals[-1]
            for attempt, text in self.views.get(turn, []):
                if attempt == final["attempt"]:
                    assert final["message"]["content"].startswith(text)
