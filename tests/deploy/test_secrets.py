"""deploy/secrets.sh makes what docker-compose.yml asks for, once."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography.fernet import Fernet

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path) -> dict[str, str]:
    """Run the script in a copy of its folder; return the secrets."""
    shutil.copy(ROOT / "deploy/secrets.sh", folder)
    subprocess.run(["sh", folder / "secrets.sh"], check=True, capture_output=True)
    return {path.name: path.read_text() for path in (folder / "secrets").iterdir()}


@pytest.fixture
def secrets(tmp_path) -> dict[str, str]:
    return run(tmp_path)


def test_every_secret_of_the_stack_is_made(secrets):
    stack = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    files = {Path(each["file"]) for each in stack["secrets"].values()}
    assert {path.name for path in files} == secrets.keys()
    assert {path.parent for path in files} == {Path("deploy/secrets")}


def test_a_second_run_changes_nothing(secrets, tmp_path):
    assert run(tmp_path) == secrets


def test_two_installations_have_no_secret_in_common(secrets, tmp_path):
    (tmp_path / "other").mkdir()
    assert not set(secrets.values()) & set(run(tmp_path / "other").values())


def test_the_addresses_follow_a_changed_password(secrets, tmp_path):
    password = tmp_path / "secrets/postgres_password"
    password.chmod(0o600)
    password.write_text("changed")
    changed = run(tmp_path)
    assert changed["database_url"] == "postgres://chatbot:changed@db:5432/chatbot"
    assert changed["postgres_password"] == "changed"


def test_the_encryption_key_is_one(secrets):
    Fernet(secrets["field_encryption_keys"])


def test_others_on_the_machine_cannot_open_the_folder(secrets, tmp_path):
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_containers_may_read_the_files_whoever_they_run_as(secrets, tmp_path):
    modes = {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "secrets").iterdir()}
    assert modes == {0o444}
