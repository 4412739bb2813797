"""`manage.py fakeprovider`, run as a person runs it."""

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from tests.inference.providers import KEY
from tests.inference.providers.__main__ import main
from tests.inference.providers.test_provider import OPENAI


@pytest.fixture
def running(tmp_path):
    """A running command and what it said at its start."""
    command = [sys.executable, "manage.py", "fakeprovider", "--port", "0"]
    command += ["--fault", "500", "--fault", "none", "--ledger", str(tmp_path / "l")]
    with subprocess.Popen(
        command, cwd=settings.BASE_DIR, stdout=subprocess.PIPE, text=True
    ) as process:
        said = "".join(iter(process.stdout.readline, "While it runs:\n"))
        yield process, said
        process.kill()


def test_says_where_it_is_and_does_what_it_was_told(running, tmp_path):
    process, said = running
    (endpoint,) = re.findall(r"openai +endpoint (\S+)", said)
    request = urllib.request.Request(
        f"{endpoint}/chat/completions",
        json.dumps(OPENAI).encode(),
        {"authorization": f"Bearer {KEY}"},
    )
    with pytest.raises(urllib.error.HTTPError, match="500") as refused:
        urllib.request.urlopen(request, timeout=10)
    refused.value.close()
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.read().endswith(b"data: [DONE]\n\n")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    calls = [json.loads(line) for line in (tmp_path / "l").read_text().splitlines()]
    # a line is written when its call ends, which may be after the next one's
    calls.sort(key=lambda call: call["number"])
    assert [call["fault"] for call in calls] == ["500", ""]


def test_says_that_it_is_part_of_the_tests(settings, tmp_path):
    settings.BASE_DIR = tmp_path
    with pytest.raises(CommandError, match="part of the tests"):
        call_command("fakeprovider", stdout=StringIO())


@pytest.mark.parametrize(
    ("words", "complaint"),
    [("418", "no fault '418'"), ("tls-plain", "a base URL of its own")],
)
def test_names_a_fault_that_is_none(words, complaint, capsys):
    with pytest.raises(SystemExit):
        main(["--fault", words])
    assert complaint in capsys.readouterr().err


def test_says_that_the_port_is_taken(stand_in, capsys):
    assert main(["--port", str(stand_in.port)]) == 1
    assert "cannot listen on port" in capsys.readouterr().err
