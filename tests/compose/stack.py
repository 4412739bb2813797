"""The containers of docker-compose.yml, brought up from a copy of the project."""

import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.system.server import ROOT

_NOT_COPIED = (
    ".git", ".venv", ".env", "var", "secrets", "node_modules", "__pycache__",
    ".*_cache",
)  # fmt: skip
# who serves in each container, and may not be root
SERVING = {"python", "celery", "caddy", "redis-server", "postgres"}


class NoDocker(Exception):  # noqa: N818 - says what happened
    """Docker or Compose is not there; the message says what is missing."""


def find_compose() -> list[str]:
    """Return the command of Compose, version 2 or 1; raises NoDocker."""
    if shutil.which("docker") is None:
        raise NoDocker("there is no docker command")
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        raise NoDocker("docker is there, but no engine answers `docker info`")
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is None:
            continue
        asked = subprocess.run(
            [*command, "version"], capture_output=True, text=True, check=False
        )
        if asked.returncode == 0 and "ompose" in asked.stdout:
            return command
    raise NoDocker("there is neither `docker compose` nor docker-compose")


@dataclass
class ComposeStack:
    """One project of Compose with ports, a network and a name of its own.

    `times_s` and `sizes` are what the run found out, for its report.
    """

    folder: Path
    compose: list[str]
    name: str
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    https_port: int = field(default_factory=free_port)
    password: str = ""
    times_s: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "COMPOSE_PROJECT_NAME": self.name,
            "HTTP_PORT": str(self.port),
            "HTTPS_PORT": str(self.https_port),
            "FRONT_SUBNET": f"10.213.{90 + self.port % 160}.0/28",
            "IMAGE_TAG": "compose-test",
            "MESSAGES_PER_MINUTE": "1000",
            "SESSIONS_PER_HOUR": "1000",
        } | self.settings  # fmt: skip

    def copy_project(self) -> None:
        """Make what a user has who fetched the project and made the secrets."""
        shutil.copytree(
            ROOT, self.folder, ignore=shutil.ignore_patterns(*_NOT_COPIED),
            dirs_exist_ok=True,
        )  # fmt: skip
        subprocess.run(["deploy/secrets.sh"], cwd=self.folder, check=True)

    def run(self, *arguments: str, timeout_s: float = 300) -> str:
        """Run a command of Compose; return what it wrote."""
        done = subprocess.run(
            [*self.compose, *arguments], cwd=self.folder, env=self.environment,
            capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def shell(self, command: str) -> None:
        """Run what docs/compose.md says, in the project's folder."""
        command = command.replace("docker compose", " ".join(self.compose))
        done = subprocess.run(
            command, shell=True, cwd=self.folder, env=self.environment,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def docker(self, *arguments: str) -> str:
        """Run a command of Docker; return what it wrote."""
        done = subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers, stopped ones too, oldest first."""
        listed = self.docker(
            "ps", "-a", "-q", "--no-trunc",
            "--filter", f"label=com.docker.compose.project={self.name}",
            "--filter", f"label=com.docker.compose.service={service}",
        )  # fmt: skip
        return listed.split()[::-1]

    def inspect(self, container: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.docker("inspect", container))[0]
        return found

    def health(self, container: str) -> str:
        state = self.inspect(container)["State"]
        is_up = state["Status"] == "running" and "Health" in state
        return str(state["Health"]["Status"] if is_up else state["Status"])

    def wait_until_healthy(self, *services: str, timeout_s: float = 180) -> float:
        """Return after how many seconds all containers of the services are healthy."""
        started_s = time.monotonic()
        while True:
            found = {
                f"{service} {container[:12]}": self.health(container)
                for service in services
                for container in self.containers(service)
            }
            waited_s = time.monotonic() - started_s
            if found and set(found.values()) == {"healthy"}:
                return waited_s
            assert waited_s < timeout_s, f"{found}\n{self.logs(*services)}"
            time.sleep(0.2)

    def logs(self, *services: str) -> str:
        return self.run("logs", "--no-color", "--tail", "60", *services)

    def keep_password(self) -> None:
        """Keep the login that set-up shows once: the log ends with its container."""
        logs = self.run("logs", "--no-color", "migrate")
        [self.password] = re.findall(r"password +(\S+)", logs)

    def execute(self, service: str, *command: str) -> str:
        """Run a command in a service's container; return what it wrote."""
        return self.run("exec", "-T", service, *command).strip()

    def query(self, code: str) -> str:
        """Run Python in the Django of a web container; return what it prints."""
        imports = "from support.models import *; from inference.models import Backend; "
        return self.execute(
            "web", "python", "manage.py", "shell", "--no-imports", "-c", imports + code
        )

    def lead_with(self, *scripts: str) -> None:
        """Put a scripted backend first, or leave the bundled model alone."""
        code = "Backend.objects.filter(name='scripted').delete(); "
        if scripts:
            options = {"scripts": list(scripts)}
            code += (
                "Backend.objects.create(name='scripted', kind='scripted', position=1,"
                f" options={options!r})"
            )
        self.query(code)

    def post(
        self, path: str, body: object, headers: dict[str, str] | None = None
    ) -> Any:
        request = urllib.request.Request(
            self.url + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Origin": self.url} | (headers or {}),
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def kill(self, service: str) -> str:
        """SIGKILL the oldest container of a service; return its id."""
        container = self.containers(service)[0]
        self.docker("kill", container)
        return container

    def users_of(self, container: str) -> set[str]:
        """Return who the serving processes of a container run as."""
        listed = self.docker("top", container, "-eo", "pid,uid,comm").splitlines()[1:]
        rows = [line.split(None, 2) for line in listed]
        return {uid for _, uid, command in rows if command.strip() in SERVING}

    def measure(self, what: str, since_s: float) -> float:
        """Note for the report how long something took since `since_s`."""
        self.times_s[what] = time.monotonic() - since_s
        return self.times_s[what]

    def remove(self) -> None:
        """Leave nothing of the project: containers, volumes, networks."""
        self.run("down", "-v", "--remove-orphans", "--timeout", "20")
