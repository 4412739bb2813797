"""docker-compose.yml and what it names fit together; `make compose-test` runs it."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
STACK = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict] = STACK["services"]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
# what docker-compose.yml decides itself, for each process or by one Redis for all; the
# HF_ ones fetch models, which is done outside: containers may only read them
DECIDED = {
    "DEBUG", "HOST", "PORT", "FORWARDED_ALLOW_IPS", "ALIVE_PATH", "CELERY_BROKER_URL",
    "CHANNEL_LAYER_URL", "REPLY_BUFFER_URL", "RATE_LIMIT_STORAGE_URL",
    "ROUTING_STATE_URL",
    "HF_ENDPOINT", "HF_TOKEN",
}  # fmt: skip
SECRETS = {
    "SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "DATABASE_URL", "REDIS_URL", "METRICS_TOKEN",
    "POSTGRES_PASSWORD", "REDIS_PASSWORD", "REDISCLI_AUTH", "PGPASSWORD",
}  # fmt: skip
OURS = [
    name for name, service in SERVICES.items()
    if "support-chatbot:" in service["image"]
]  # fmt: skip
every_service = pytest.mark.parametrize("name", SERVICES)


def read_pins(path: str) -> dict[str, str]:
    text = (ROOT / path).read_text()
    return dict(re.findall(r"^([\w-]+)==(\S+)", text, re.MULTILINE))


def names_of_settings() -> set[str]:
    text = (ROOT / ".env.example").read_text()
    return set(re.findall(r"^([A-Z_]+)=", text, re.MULTILINE))


def bound_folders() -> set[str]:
    """Return what containers mount from this repository."""
    mounts = [mount for each in SERVICES.values() for mount in each.get("volumes", [])]
    return {mount.split(":")[0] for mount in mounts if mount.startswith("./")}


@every_service
def test_a_service_has_a_health_check_or_ends(name):
    assert ("healthcheck" in SERVICES[name]) != (SERVICES[name]["restart"] == "no")


@every_service
def test_no_secret_is_in_the_environment(name):
    assert not SECRETS & set(SERVICES[name].get("environment", {}))


@every_service
def test_a_secret_that_is_named_is_given(name):
    named = [
        Path(value).name
        for key, value in SERVICES[name].get("environment", {}).items()
        if key.endswith("_FILE") and str(value).startswith("/run/secrets/")
    ]
    assert set(named) <= set(SERVICES[name].get("secrets", []))


@every_service
def test_an_image_has_a_tag_that_stays(name):
    image = SERVICES[name]["image"]
    is_ours = image.endswith(":${IMAGE_TAG:-local}") and "build" in SERVICES[name]
    assert is_ours or re.fullmatch(r"[a-z]+:[0-9.]+-[a-z]+", image)


@every_service
def test_a_service_is_read_only_and_gains_no_rights(name):
    assert SERVICES[name]["read_only"] is True
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


@every_service
def test_a_service_that_lasts_is_given_time_to_stop(name):
    service = SERVICES[name]
    is_lasting = service["restart"] == "unless-stopped"
    assert not is_lasting or int(service["stop_grace_period"].rstrip("s")) >= 15


def test_only_the_proxy_is_reached_from_outside():
    assert [name for name, service in SERVICES.items() if "ports" in service] == [
        "proxy"
    ]


def test_only_the_proxy_is_on_the_network_that_web_believes():
    front = {name for name, each in SERVICES.items() if "front" in each["networks"]}
    subnet = STACK["networks"]["front"]["ipam"]["config"][0]["subnet"]
    assert front == {"proxy", "web"}
    assert SERVICES["web"]["environment"]["FORWARDED_ALLOW_IPS"] == subnet


def test_database_and_redis_have_no_way_out():
    assert SERVICES["db"]["networks"] == SERVICES["redis"]["networks"] == ["data"]
    assert STACK["networks"]["data"]["internal"] is True


def test_every_setting_is_passed_on_or_decided():
    shared = {name.removesuffix("_FILE") for name in STACK["x-settings"]}
    assert shared | DECIDED == names_of_settings()


@pytest.mark.parametrize("name", OURS)
def test_our_processes_get_all_settings_and_no_unknown_ones(name):
    given = {key.removesuffix("_FILE") for key in SERVICES[name]["environment"]}
    assert given <= names_of_settings()
    assert STACK["x-settings"].keys() <= SERVICES[name]["environment"].keys()


def test_every_folder_and_file_that_is_mounted_exists():
    missing = [path for path in bound_folders() if not (ROOT / path).exists()]
    assert missing == []


def test_every_volume_network_and_secret_is_declared():
    mounts = [mount for each in SERVICES.values() for mount in each.get("volumes", [])]
    volumes = {mount.split(":")[0] for mount in mounts if re.match(r"\w+:", mount)}
    networks = {name for each in SERVICES.values() for name in each["networks"]}
    secrets = {name for each in SERVICES.values() for name in each.get("secrets", [])}
    assert volumes == STACK["volumes"].keys()
    assert networks == STACK["networks"].keys()
    assert secrets == STACK["secrets"].keys()


def test_base_images_have_a_tag_that_stays():
    bases = re.findall(r"^FROM (\S+) AS", DOCKERFILE, re.MULTILINE)
    assert bases
    assert all(re.fullmatch(r"[a-z]+:[0-9.]+[a-z-]+", base) for base in bases)


def test_the_targets_that_are_built_exist():
    built = {each["build"]["target"] for each in SERVICES.values() if "build" in each}
    assert built <= set(re.findall(r"^FROM \S+ AS (\w+)", DOCKERFILE, re.MULTILINE))


def test_what_is_copied_is_sent_to_the_build():
    copied = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE)
    sent = re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(copied) == sorted(sent)
    assert all((ROOT / path).exists() for path in copied)


def test_the_compiled_engine_is_the_one_that_is_pinned():
    [version] = re.findall(r"^ARG LLAMA_CPP_PYTHON=(\S+)", DOCKERFILE, re.MULTILINE)
    assert version == read_pins("requirements-run.txt")["llama-cpp-python"]


def test_the_image_runs_on_the_packages_that_were_tested():
    assert read_pins("requirements-run.txt").items() <= (
        read_pins("requirements.txt").items()
    )


def test_the_proxy_asks_a_service_and_its_port():
    caddyfile = (ROOT / "deploy/Caddyfile").read_text()
    [(service, port)] = re.findall(r"reverse_proxy (\w+):(\d+)", caddyfile)
    assert SERVICES[service]["environment"]["PORT"] == port
