"""What a stranger can reach, and what is in images and containers."""

import http.client
import json
import re
import ssl
import urllib.request
from contextlib import closing
from email.message import Message
from http.cookiejar import CookieJar
from typing import NamedTuple
from urllib.parse import urlencode

import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.compose.conftest import SERVICES
from tests.compose.stack import ComposeStack

pytestmark = pytest.mark.compose

OURS = ("web", "worker-local", "worker-cloud", "proxy")
OWN_USER = "10001"
COMPILERS = "gcc g++ cc c++ clang make cmake ninja ld as"


class Answer(NamedTuple):
    status: int
    headers: Message
    body: bytes


def read(stack: ComposeStack, path: str, **headers: str) -> Answer:
    """Send a path exactly as it is; return the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    with closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


def log_in(url: str, user: str, password: str, context: ssl.SSLContext | None) -> str:
    """Log in to the admin as a browser does; return the page that follows."""
    opener = urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(CookieJar()),
        urllib.request.HTTPSHandler(context=context),
    )
    page = opener.open(f"{url}/admin/login/?next=/admin/", timeout=30).read().decode()
    [token] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    form = {"csrfmiddlewaretoken": token, "username": user, "password": password}
    request = urllib.request.Request(
        f"{url}/admin/login/?next=/admin/",
        urlencode(form).encode(),
        {"Referer": f"{url}/admin/login/", "Origin": url},
    )
    return str(opener.open(request, timeout=30).read().decode())


def test_the_log_of_the_set_up_has_a_login_that_works(stack):
    page = log_in(stack.url, "staff", stack.password, None)
    assert "Log out" in page


def test_pages_come_with_their_security_policy(stack):
    answer = read(stack, "/admin/login/", Host=f"localhost:{stack.port}")
    assert answer.status == 200
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/widget.js", "/static/support/shop.css", "/help/"])
def test_static_files_and_pages_are_served_compressed(stack, path):
    answer = read(stack, path, **{"Accept-Encoding": "gzip"})
    assert (answer.status, answer.headers["Content-Encoding"]) == (200, "gzip")


def test_an_unknown_host_name_is_refused(stack):
    assert read(stack, "/", Host="evil.example").status == 400


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/%6Detrics", "//metrics", "/./metrics", "/metrics/", "/METRICS"],
)
def test_metrics_are_closed_from_outside(stack, path):
    token = (stack.folder / "deploy/secrets/metrics_token").read_text()
    answer = read(stack, path, Authorization=f"Bearer {token}")
    assert answer.status == 404
    assert b"chat_" not in answer.body


def test_metrics_of_all_containers_are_read_inside_with_the_token(stack, visitor):
    one = visitor()
    one.ask("How long do I have to return something?")
    one.receive_until("done", 60)
    code = (
        "from urllib.request import Request, urlopen; "
        "token = open('/run/secrets/metrics_token').read(); "
        "headers = {'Authorization': 'Bearer ' + token}; "
        "request = Request('http://web:8000/metrics', headers=headers); "
        "print(urlopen(request, timeout=20).read().decode())"
    )
    metrics = stack.execute("worker-cloud", "python", "-c", code)
    calls = re.findall(r'^chat_calls_total\{backend="bundled".*\} (\S+)', metrics, re.M)
    assert sum(map(float, calls)) > 0  # counted in another container


def counted_addresses(stack: ComposeStack) -> set[str]:
    """Return the addresses that started conversations, as the limits count them."""
    keys = stack.execute(
        "redis", "sh", "-c",
        "REDISCLI_AUTH=$(cat /run/secrets/redis_password) "
        "redis-cli --scan --pattern '*session/*'",
    )  # fmt: skip
    return set(re.findall(r"session/([\d.]+)/", keys))


def test_limits_count_the_visitor_and_not_the_proxy_or_a_forged_header(stack):
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    stack.post("/widget/session", {"site": "demo"}, forged)
    [container] = stack.containers("proxy")
    [network] = stack.inspect(container)["NetworkSettings"]["Networks"].values()
    addresses = counted_addresses(stack)
    assert addresses
    assert not addresses & {"203.0.113.9", network["IPAddress"]}


def test_web_believes_no_forwarded_address_but_of_the_proxy(stack):
    code = (
        "import json; from urllib.request import Request, urlopen; "
        "headers = {'Content-Type': 'application/json', 'Host': 'localhost', "
        "'Origin': 'http://localhost', 'X-Forwarded-For': '203.0.113.7'}; "
        "body = json.dumps({'site': 'demo'}).encode(); "
        "request = Request('http://web:8000/widget/session', body, headers); "
        "print(urlopen(request, timeout=20).status)"
    )
    assert stack.execute("worker-cloud", "python", "-c", code) == "200"
    assert "203.0.113.7" not in counted_addresses(stack)


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_runs_as_root(stack, service):
    users = {
        user
        for container in stack.containers(service)
        for user in stack.users_of(container)
    }
    assert users
    assert not users & {"0", "root"}


@pytest.mark.parametrize("service", OURS)
def test_our_containers_are_read_only_and_have_no_rights(stack, service):
    container = stack.containers(service)[0]
    found = stack.inspect(container)
    assert found["Config"]["User"].split(":")[0] == OWN_USER
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    written = stack.docker(
        "exec", container, "sh", "-c", "touch /app/x /etc/x 2>&1 || echo refused"
    )
    assert "refused" in written


@pytest.mark.parametrize("service", SERVICES)
def test_no_secret_is_in_the_environment_or_on_a_command_line(stack, service):
    container = stack.containers(service)[0]
    shown = json.dumps(stack.inspect(container))
    shown += stack.docker("top", container, "-eo", "pid,args")
    secrets = [path.read_text() for path in secret_files(stack)]
    assert [secret for secret in secrets if secret in shown] == []


def secret_files(stack: ComposeStack) -> list:
    return sorted((stack.folder / "deploy/secrets").iterdir())


@pytest.mark.parametrize("service", ["web", "proxy"])
def test_an_image_holds_no_compiler_and_no_secret(stack, service):
    image = stack.inspect(stack.containers(service)[0])["Config"]["Image"]
    found = stack.docker(
        "run", "--rm", "--entrypoint", "sh", image, "-c",
        f"for name in {COMPILERS}; do command -v $name; done; "
        "ls -d /app/.env /app/deploy /app/tests /app/var/?* 2>/dev/null; true",
    )  # fmt: skip
    assert found in ("", "/app/var/static")
    history = stack.docker("history", "--no-trunc", image)
    assert not any(path.read_text() in history for path in secret_files(stack))
    size = int(stack.docker("image", "inspect", "-f", "{{.Size}}", image))
    stack.sizes[f"image of {service}"] = f"{size / 1e6:.0f} MB"


def test_the_engine_runs_the_code_for_this_processor(stack):
    code = "grep -ho '/opt/ggml/.*' /proc/[0-9]*/maps | sort -u"
    [library] = stack.execute("worker-local", "sh", "-c", code).splitlines()
    stack.sizes["code of the engine"] = library
    assert library.startswith("/opt/ggml/libggml-cpu-")


def test_other_models_are_mounted_for_reading(stack):
    (stack.folder / "var/models").mkdir(parents=True, exist_ok=True)
    (stack.folder / "var/models/other.gguf").write_text("GGUF")
    for service in ("web", "worker-local"):
        assert stack.execute(service, "ls", "/models") == "other.gguf"


def test_nothing_is_unwise_in_the_eyes_of_the_checks_but_what_tls_would_change(stack):
    logged = stack.logs("web", "worker-local", "worker-cloud")
    assert "chatbot.W" not in logged


@pytest.fixture(scope="module")
def https_url(stack):
    """The stack under a name that gets a certificate, here one of Caddy's own.

    From now on it is served under that name only.
    """
    stack.settings["DOMAIN"] = "localhost"
    stack.run("up", "-d")
    stack.wait_until_healthy(*SERVICES)
    return f"https://localhost:{stack.https_port}"


@pytest.fixture
def trusting():
    """A browser that trusts every certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.usefixtures("https_url")
def test_with_a_domain_plain_http_is_sent_on(stack):
    answer = read(stack, "/help/", Host="localhost")
    assert answer.status == 308
    assert answer.headers["Location"].startswith("https://localhost/")


def test_with_a_domain_staff_log_in_with_cookies_for_https_only(
    stack, https_url, trusting
):
    page = log_in(https_url, "staff", stack.password, trusting)
    assert "Log out" in page
    address = f"{https_url}/admin/login/"
    with urllib.request.urlopen(address, context=trusting) as answer:
        assert "Secure" in answer.headers["Set-Cookie"]


def test_with_a_domain_the_widget_talks_over_wss(https_url, trusting):
    request = urllib.request.Request(
        f"{https_url}/widget/session",
        json.dumps({"site": "demo"}).encode(),
        {"Content-Type": "application/json", "Origin": https_url},
    )
    with urllib.request.urlopen(request, context=trusting) as answer:
        token = json.load(answer)["token"]
    address = f"{https_url.replace('https', 'wss')}/ws/chat/"
    with connect(address, origin=Origin(https_url), ssl=trusting) as socket:
        hello = {"type": "hello", "protocol": 1, "token": token, "last_seq": 0}
        socket.send(json.dumps(hello))
        assert json.loads(socket.recv(20))["type"] == "welcome"


def test_it_stops_in_order_and_leaves_nothing(stack):
    stack.run("stop", timeout_s=120)
    codes = {
        service: stack.inspect(stack.containers(service)[0])["State"]["ExitCode"]
        for service in OURS
    }
    stack.remove()
    assert all(code in (0, 143) for code in codes.values()), codes
    assert not any(stack.containers(service) for service in SERVICES)
    assert stack.docker("volume", "ls", "-q", "--filter", f"name={stack.name}") == ""
