"""compose.yaml says what Compose understands, and nothing that the rest of the project does not know."""

import re
import sys
from typing import Any

import pytest
import typer
import yaml
from tests.deploy.files import COMPOSE, HAPROXY, PROMETHEUS, assert_passes, read_yaml
from tests.server import REPOSITORY

from serinus.cli.app import app
from serinus.http.serving import DRAIN_S
from serinus.settings import PREFIX, ServerSettings, read_settings

TEXT = COMPOSE.read_text()
SERVICES: dict[str, dict[str, Any]] = read_yaml(COMPOSE)["services"]
SECRETS = ["POSTGRES_PASSWORD", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "SERINUS_HASH_KEY"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "serinus:local"]
SERVERS = [name for name in OURS if name != "dashboard"]


def seconds(duration: str) -> float:
    assert duration.endswith("s")
    return float(duration[:-1])


def address(name: str) -> str:
    """Give HOST:PORT at which a server of ours is reached from the others."""
    command = SERVICES[name]["command"]
    return f"{name}:{command[command.index('--port') + 1]}"


each_service = pytest.mark.parametrize("name", SERVICES)
each_server = pytest.mark.parametrize("name", SERVERS)


def test_it_fits_the_schema_of_the_compose_specification() -> None:
    schema = ["--builtin-schema", "vendor.compose-spec"]

    assert_passes([sys.executable, "-m", "check_jsonschema", *schema, COMPOSE])


@each_service
def test_every_setting_is_one_that_a_server_has(name: str) -> None:
    known = {PREFIX + field.upper() for field in ServerSettings.model_fields} | {"SERINUS_URL"}

    assert {each for each in SERVICES[name].get("environment", {}) if each.startswith(PREFIX)} <= known


@each_server
def test_the_settings_are_accepted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:\?[^}]*\}", "0123456789abcdef", str(value)))

    settings = read_settings()

    assert settings.drain_delay > 0
    assert not settings.is_embedded


def test_all_servers_have_the_same_settings() -> None:
    assert all(SERVICES[name]["environment"] == SERVICES["gateway-1"]["environment"] for name in SERVERS)


@each_server
def test_the_command_is_one_that_canary_knows(name: str) -> None:
    command, *arguments = SERVICES[name]["command"]
    commands: Any = typer.main.get_command(app)

    chosen = commands.commands[command].make_context(command, arguments).params

    assert chosen["host"] == "0.0.0.0"
    assert chosen["insecure"]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_has_to_be_chosen(secret: str) -> None:
    uses = re.findall(rf"\$\{{{secret}\b[^}}]*\}}", TEXT)

    assert uses
    assert all(re.fullmatch(rf"\$\{{{secret}:\?[^}}]+\}}", use) for use in uses)


def test_nothing_else_is_left_to_the_environment_without_a_default() -> None:
    variables = set(re.findall(r"\$\{(\w+)(?!\w|:-)", TEXT))

    assert variables == set(SECRETS)


@each_service
def test_no_port_is_open_to_other_machines(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_what_holds_data_is_not_even_reachable_from_this_machine() -> None:
    networks = read_yaml(COMPOSE)["networks"]

    assert networks["inside"]["internal"]
    for name in (*SERVERS, "postgres", "redis", "s3"):
        assert SERVICES[name]["networks"] == ["inside"]
        assert "ports" not in SERVICES[name]


@each_service
def test_the_image_is_of_one_version(name: str) -> None:
    image = SERVICES[name]["image"]

    assert image == "serinus:local" or re.fullmatch(r"[\w./-]+:v?\d+\.\d+[\w.-]*", image)


@each_service
def test_it_comes_back_and_says_how_it_does(name: str) -> None:
    service = SERVICES[name]

    assert service["restart"] == "unless-stopped"
    assert "healthcheck" in service or name.startswith("gateway-")  # theirs is in the image


@each_service
def test_what_it_waits_for_can_come_true(name: str) -> None:
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        has_health = "healthcheck" in SERVICES[other] or other.startswith("gateway-")
        assert wanted["condition"] == "service_started" or has_health


@each_server
def test_a_server_has_time_to_finish_what_it_does(name: str) -> None:
    delay = float(SERVICES[name]["environment"]["SERINUS_DRAIN_DELAY"])

    assert seconds(SERVICES[name]["stop_grace_period"]) > delay + DRAIN_S


@each_server
def test_a_server_can_write_to_its_cache_alone(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["volumes"] == [f"{name}:{service['environment']['SERINUS_HOME']}"]


def test_every_file_and_volume_that_is_mounted_is_there() -> None:
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    files = [REPOSITORY / source for source in mounted if source.startswith("./")]

    assert not [file for file in files if not file.exists()]
    assert {source for source in mounted if not source.startswith("./")} == set(read_yaml(COMPOSE)["volumes"])


def test_the_load_balancer_knows_the_gateways() -> None:
    gateways = dict(re.findall(r"presetenv (GATEWAY_\d) (\S+)", HAPROXY.read_text()))

    assert list(gateways.values()) == [address("gateway-1"), address("gateway-2")]


def test_prometheus_scrapes_every_server() -> None:
    jobs = yaml.safe_load(PROMETHEUS.read_text())["scrape_configs"]

    scraped = {target for job in jobs for each in job["static_configs"] for target in each["targets"]}

    assert scraped == {address(name) for name in SERVERS}
