"""The load test against a real server: what it plays, measures, and finds.

As a command it starts Django, which takes as long as playing does: some tests have it
in a process of its own and see its exit status, the others call it here. A refusal in
mid-play is left to the end of a process, that closes the sockets of those cancelled.
"""

import io
import json
import os
import subprocess
import sys
import time
from typing import NamedTuple

import pytest
from django.core.management import CommandError, call_command

from support.management.loadtest.marks import build_mark
from tests.ports import free_port
from tests.system.server import ROOT, Server

OTHERS_MARK = build_mark("other", 1)
PACED_ECHO = 'pace 0.02\necho\nsay "\\n\\nbado bedo bido bodo budo bydo"'
QUICK = (
    "--chats=3", "--messages=2", "--ramp-up-s=0.2", "--think-s=0.1", "--wait-s=60",
)  # fmt: skip
ENVIRONMENT = os.environ | {
    "DJANGO_SETTINGS_MODULE": "chatbot.settings",
    "DATABASE_URL": "sqlite:////nowhere/at/all.sqlite3",  # it is a client
    "SECRET_KEY": "a key for system tests only",
}


def command_line(url: str, *arguments: object) -> list[str]:
    return [sys.executable, "manage.py", "loadtest", url, *map(str, arguments)]


def run_loadtest(url: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command_line(url, *arguments),
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False,
        timeout=180,
    )  # fmt: skip


class Ended(NamedTuple):
    """What a call of the command would be to a shell."""

    returncode: int
    stdout: str
    stderr: str


def call_loadtest(url: str, *arguments: object) -> Ended:
    stdout, stderr = io.StringIO(), io.StringIO()
    try:
        call_command(
            "loadtest", url, *map(str, arguments), stdout=stdout, stderr=stderr
        )
    except CommandError as error:
        return Ended(error.returncode, stdout.getvalue(), f"{stderr.getvalue()}{error}")
    return Ended(0, stdout.getvalue(), stderr.getvalue())


@pytest.fixture
def file(tmp_path):
    """Where the report is written."""
    return tmp_path / "report.json"


@pytest.fixture(scope="module")
def running(tmp_path_factory, set_up_server):
    """A server that is not changed but for its scripts, for all tests of this file."""
    server = Server(tmp_path_factory.mktemp("running"))
    server.set_up_like(set_up_server)
    server.use_scripts(PACED_ECHO)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def paced(running):
    """That server when it echoes at 50 words a second."""
    running.use_scripts(PACED_ECHO)
    return running


def test_plays_conversations_and_reports(paced, file):
    pid = f"--server-pid={paced.process.pid}"
    result = run_loadtest(paced.url, *QUICK, "--pace=50", f"--json={file}", pid)
    assert result.returncode == 0, result.stderr
    assert "promises: lost 0, doubled 0, out of order 0, mixed 0" in result.stdout
    report = json.loads(file.read_text())
    messages, errors = report["messages"], report["errors"]
    assert (messages["sent"], messages["answered"], errors) == (6, 6, {})
    assert messages["replies_with_their_mark"] == 6
    assert report["conversations"] == 3
    counts = {name: times["count"] for name, times in report["times"].items()}
    assert (counts["ack_ms"], counts["first_ms"], counts["reply_ms"]) == (6, 6, 6)
    assert counts["added_ms"] == counts["gap_ms"] + 6
    assert report["cpu"]["server_share"] > 0


def test_connections_that_are_cut_lose_nothing(paced, file):
    result = call_loadtest(paced.url, *QUICK, "--drop=1", f"--json={file}")
    assert result.returncode == 0, result.stdout
    report = json.loads(file.read_text())
    num_cut = report["messages"]["connections_cut"]
    assert num_cut > 0
    assert report["times"]["reopen_ms"]["count"] == num_cut
    assert report["messages"]["answered"] == 6


def test_a_foreign_word_in_a_reply_is_found(running, file):
    running.use_scripts(f"echo\nsay {OTHERS_MARK}")
    result = run_loadtest(running.url, *QUICK, f"--json={file}")
    assert result.returncode == 1
    assert f"BROKEN foreign: {OTHERS_MARK}" in result.stdout
    report = json.loads(file.read_text())
    assert report["promises"]["mixed"] > 0
    kinds = [{event["event"] for event in one["events"]} for one in report["histories"]]
    assert kinds == [{"sent", "received", "stored"}] * 3


def test_a_server_that_stores_something_else_is_found_out(server):
    server.use_scripts(PACED_ECHO)
    server.execute(
        "CREATE TRIGGER sabotage AFTER INSERT ON support_message"
        " WHEN NEW.role = 'assistant' BEGIN"
        " UPDATE support_message SET content = 'else' WHERE id = NEW.id; END"
    )
    server.start()
    result = call_loadtest(server.url, *QUICK, "--messages=1")
    assert result.returncode == 1
    assert "BROKEN changed: seq 2: content, html" in result.stdout


def test_idle_sockets_are_held_and_measured(paced, file):
    pid = f"--server-pid={paced.process.pid}"
    arguments = ("--chats=0", "--idle=20", "--idle-s=1", f"--json={file}", pid)
    result = call_loadtest(paced.url, *arguments)
    assert result.returncode == 0, result.stderr
    idle = json.loads(file.read_text())["idle"]
    assert (idle["sockets"], idle["lost"]) == (20, {})
    assert "memory_kb_per_socket" in idle
    assert "20 idle sockets, 0 lost" in result.stdout


def test_an_apology_is_a_reply_and_no_broken_promise(server, file):
    server.use_scripts("fail Unavailable")
    server.start()
    arguments = ("--chats=1", "--messages=1", f"--json={file}")
    assert call_loadtest(server.url, *arguments).returncode == 0
    report = json.loads(file.read_text())
    assert report["messages"]["failed"] == 1
    assert report["notices"] == {"reply_failed": 1}


def test_a_slow_reply_is_given_up_and_is_not_lost(server, file):
    server.use_scripts("hang")
    server.start()
    arguments = ("--chats=1", "--messages=2", "--wait-s=2", f"--json={file}")
    assert call_loadtest(server.url, *arguments).returncode == 0
    report = json.loads(file.read_text())
    assert report["errors"] == {"no reply in 2 s": 1}
    assert report["messages"]["without_a_reply"] == 1


def test_survives_a_server_that_is_killed_in_the_middle(server, file):
    server.use_scripts("pace 0.2\necho")
    server.start()
    command = command_line(server.url, *QUICK, f"--json={file}")
    with subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT) as running:
        while not server.execute("SELECT 1 FROM support_turn WHERE state = 'running'"):
            assert running.poll() is None
            time.sleep(0.05)
        server.kill()
        server.start()
        assert running.wait(120) == 0
    report = json.loads(file.read_text())
    assert report["messages"]["without_a_reply"] == 0
    assert sum(report["errors"].values()) > 0


@pytest.mark.parametrize(
    ("setting", "number"),
    [
        ("SESSIONS_PER_HOUR", 2),
        ("SOCKETS_PER_ADDRESS", 2),
        ("MESSAGES_PER_MINUTE", 1),
        ("FRAMES_PER_MINUTE", 2),
    ],
)
def test_says_which_limit_it_meets(server, setting, number):
    server.settings[setting] = str(number)
    server.use_scripts("echo")
    server.start()
    result = run_loadtest(server.url, *QUICK)
    assert result.returncode == 2
    assert f"Raise {setting}" in result.stderr


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("--origin=https://elsewhere.example", "refuses the origin"),
        ("--site=nowhere", "There is no site 'nowhere'"),
    ],
)
def test_says_why_the_server_does_not_let_it_in(paced, argument, complaint):
    result = call_loadtest(paced.url, *QUICK, argument)
    assert (result.returncode, complaint in result.stderr) == (2, True), result.stderr


def test_says_that_the_server_does_not_know_its_host_name(server):
    server.settings["ALLOWED_HOSTS"] = "127.0.0.1"
    server.use_scripts("echo")
    server.start()
    result = run_loadtest(server.url.replace("127.0.0.1", "localhost"), *QUICK)
    assert result.returncode == 2
    assert "is localhost in the server's ALLOWED_HOSTS?" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("localhost:8000",), "is no address"),
        ((f"http://127.0.0.1:{free_port()}",), "cannot be reached"),
        (("http://localhost:8000", "--chats=0"), "nothing to do"),
        (("http://localhost:8000", "--drop=2"), "from 0 to 1"),
        (("http://localhost:8000", "--server-pid=999999999"), "no process 999999999"),
        (("http://localhost:8000", "--questions=/nowhere/at/all"), "No such file"),
    ],
)
def test_says_what_is_wrong_with_its_arguments(arguments, complaint):
    with pytest.raises(CommandError, match=complaint) as refused:
        call_command("loadtest", *arguments)
    assert refused.value.returncode == 2
