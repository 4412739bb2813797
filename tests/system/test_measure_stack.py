"""`manage.py measure_stack` with real processes, in seconds."""

import json
import subprocess
import sys

import pytest

from tests.system.server import ROOT
from tests.system.stack import Stack, create_database

QUICK = (
    "--kind=scripted", "--chats", "1", "3", "--messages=2", "--lone-messages=2",
    "--rounds=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def stack(postgres_url, redis_url, tmp_path_factory):
    """The settings of a stack with an empty database; nothing of it is started."""
    folder = tmp_path_factory.mktemp("measured")
    url = create_database(postgres_url)
    return Stack(folder, database_url=url, redis_url=redis_url)


def measure(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "measure_stack", *QUICK, *arguments],
        cwd=ROOT, env=stack.environment, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip


def test_compares_the_stack_with_the_model_alone(stack, tmp_path):
    file = tmp_path / "figures.json"
    script = json.dumps({"scripts": ["pace 0.01\necho"]})
    result = measure(stack, f"--options={script}", f"--json={file}")
    assert result.returncode == 0, result.stderr
    lone, three = json.loads(file.read_text())
    assert (lone["messages"], three["messages"]) == (2, 6)
    assert 0 < lone["ratio"] < 1 < lone["added_ms"]["p50"]
    assert "tokens/s, whole stack" in result.stdout


def test_a_database_in_use_is_left_alone(stack):
    stack.query(
        "from support.chat.visitors import start_session;"
        " Backend.objects.filter(name='measured').delete();"
        " start_session(Site.objects.get())"
    )
    result = measure(stack)
    assert result.returncode == 1
    assert "has conversations" in result.stderr
