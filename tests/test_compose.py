"""The image and the demo in containers: hardened in every service, and no secret in any file.

Reads the files alone; starting them takes Docker, and docs/compose.md says how to look at what runs.
"""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.compose import __main__ as setup
from security.throttling import GCRA

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SECRET_NAME = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|KEY|CREDENTIAL|(?<!PUBLIC)_URL")
# What takes isolation away again.
LOOSENING = (
    "privileged",
    "devices",
    "pid",
    "ipc",
    "userns_mode",
    "cgroup",
    "env_file",
    "group_add",
    "sysctls",
)

services = pytest.mark.parametrize("name", SERVICES)


def environment(name: str) -> dict[str, str]:
    return dict(SERVICES[name].get("environment", {}))


def volumes(name: str) -> dict[str, str]:
    """The service's mounts: path → volume."""
    return {mount.split(":")[1]: mount.split(":")[0] for mount in SERVICES[name].get("volumes", [])}


def dockerfile() -> list[str]:
    """The Dockerfile's instructions, comments left out and continued lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    return [line for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip()]


@services
def test_every_service_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not [key for key in LOOSENING if key in service]
    assert service["mem_limit"]
    assert 0 < service["pids_limit"] <= 256
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@services
def test_scratch_space_runs_no_programs(name: str) -> None:
    for mount in SERVICES[name]["tmpfs"]:
        assert {"noexec", "nosuid", "nodev"} <= set(mount.split(":")[1].split(",")), mount


def test_only_setup_is_root_and_it_has_one_capability_and_no_network() -> None:
    roots = [name for name, service in SERVICES.items() if service["user"].split(":")[0] == "0"]
    assert roots == ["setup"]
    assert {name: s["cap_add"] for name, s in SERVICES.items() if "cap_add" in s} == {"setup": ["CHOWN"]}
    assert SERVICES["setup"]["network_mode"] == "none"


@services
def test_secrets_are_files(name: str) -> None:
    for variable, value in environment(name).items():
        if SECRET_NAME.search(variable):
            assert variable.endswith("_FILE"), variable
            assert value.startswith("/run/"), variable
    for word in SERVICES[name].get("command", []):
        assert "://" not in word


@services
def test_nothing_of_the_host_is_mounted(name: str) -> None:
    assert set(volumes(name).values()) <= set(COMPOSE["volumes"])


def test_each_secret_has_the_readers_it_needs() -> None:
    readers: dict[str, set[str]] = {volume: set() for volume in COMPOSE["volumes"]}
    for name in SERVICES:
        for volume in volumes(name).values():
            readers[volume].add(name)
    assert readers["owner-secrets"] == {"setup", "migrate"}
    assert readers["database-secrets"] == {"setup", "db"}
    assert readers["cache-secrets"] == {"setup", "cache"}
    assert readers["api-secrets"] == {"setup", "migrate", "seed", "api", "sweep"}
    assert readers["tls"] == {"setup", "api"}
    assert readers["demo"] == {"setup", "seed"}
    assert readers["setup-state"] == {"setup"}


def test_only_migrate_knows_the_owner() -> None:
    knows = [name for name in SERVICES if any("OWNER" in variable for variable in environment(name))]
    assert knows == ["migrate"]


def test_only_the_seed_is_a_demo() -> None:
    assert [name for name in SERVICES if "DEMO" in environment(name)] == ["seed"]


def test_the_service_runs_with_production_settings() -> None:
    for name in ("migrate", "seed", "api", "sweep"):
        assert environment(name)["DJANGO_SETTINGS_MODULE"] == "config.settings"


def test_only_the_api_is_published_and_on_the_loopback_address() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["api"]
    assert SERVICES["api"]["ports"] == ["127.0.0.1:${PORT:-8443}:8443"]
    assert not [name for name, service in SERVICES.items() if "network_mode" in service and name != "setup"]


def test_the_servers_are_on_internal_networks_of_their_own() -> None:
    assert SERVICES["db"]["networks"] == ["database"]
    assert SERVICES["cache"]["networks"] == ["cache"]
    assert COMPOSE["networks"]["database"] == {"internal": True}
    assert COMPOSE["networks"]["cache"] == {"internal": True}
    assert [name for name, service in SERVICES.items() if "edge" in service.get("networks", [])] == ["api"]


def test_every_one_shot_is_waited_for() -> None:
    """``up --wait`` counts a container that has ended as failed, unless a service waits for its end."""
    awaited = {
        other
        for service in SERVICES.values()
        for other, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_completed_successfully"
    }
    assert awaited == {name for name, service in SERVICES.items() if service["restart"] == "no"}


def test_the_image_runs_as_a_numeric_user_without_a_shell_between() -> None:
    *_, service = "\n".join(dockerfile()).split("\nFROM ")
    assert re.search(r"^USER [1-9][0-9]*:[1-9][0-9]*$", service, re.MULTILINE)
    assert re.search(r"^CMD \[", service, re.MULTILINE)
    assert "deploy" not in service


def test_the_image_holds_no_secret() -> None:
    kept = [line for line in dockerfile() if line.startswith(("ENV ", "ARG ", "LABEL "))]
    assert kept
    assert not [line for line in kept if SECRET_NAME.search(line)]


def test_the_image_installs_hashed_wheels_on_a_pinned_base() -> None:
    bases = {line.split()[1] for line in dockerfile() if line.startswith("FROM ")}
    assert "python:3.13-slim-trixie" in bases
    assert not [base for base in bases if "latest" in base]
    install = next(line for line in dockerfile() if "pip " in line and "install" in line)
    assert "--require-hashes" in install
    assert "--only-binary :all:" in install


def test_the_build_context_is_an_allow_list() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    admitted = {rule[1:].split("/")[0] for rule in rules if rule.startswith("!")}
    assert not admitted & {".git", ".env", ".run", "tests", "lab", "docs", "pyproject.toml"}


# --- setup ---


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Path, int]:
    """Volumes after setup's first run; path → the user it was given to."""
    owners: dict[Path, int] = {}

    def chown(path: Path, user: int, group: int) -> None:
        owners[path.with_name(path.name.removeprefix(".").removesuffix(".new"))] = user

    monkeypatch.setattr(os, "chown", chown)
    for name in ("STATE", "VOLUMES"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(setup, name, tmp_path / name)
    (setup.VOLUMES / "demo").mkdir()
    setup.main()
    return owners


def written() -> dict[str, str]:
    files = (path for path in setup.VOLUMES.rglob("*") if path.is_file())
    return {str(path.relative_to(setup.VOLUMES)): path.read_text() for path in files}


def test_setup_gives_every_secret_to_one_user(prepared: dict[Path, int]) -> None:
    public = {"tls/ca.pem", "tls/server.pem", "database-init/sql/roles.sql"}
    for name in written():
        path = setup.VOLUMES / name
        expected = setup.PUBLIC if name in public else setup.PRIVATE
        if name != "database-init/roles.sh":
            assert path.stat().st_mode & 0o777 == expected, name
        assert prepared[path] == (
            setup.API if name.split("/")[0] in {"api", "owner", "tls"} else setup.SERVER
        )
    assert prepared[setup.VOLUMES / "demo"] == setup.API


def test_setup_writes_the_same_again(prepared: dict[Path, int]) -> None:
    before = written()
    setup.main()
    assert written() == before


def test_setup_writes_what_the_services_read(prepared: dict[Path, int]) -> None:
    for name in SERVICES:
        mounts = volumes(name)
        targets = {mounted: path for path, mounted in volumes("setup").items()}
        for variable, value in environment(name).items():
            if variable.endswith("_FILE") and SECRET_NAME.search(variable):
                directory, file = value.rsplit("/", 1)
                prepared_in = targets[mounts[directory]].removeprefix("/volumes/")
                assert f"{prepared_in}/{file}" in written(), variable


def test_setup_gives_no_password_twice(prepared: dict[Path, int]) -> None:
    values = setup._generated()
    assert len(set(values.values())) == len(setup.GENERATED)
    assert all(len(value) >= 64 for value in values.values())
    assert values["valkey"] not in written()["cache/valkey.conf"]


def test_the_cache_permits_what_the_limiter_calls() -> None:
    for command in re.findall(r"redis\.call\('(\w+)'", GCRA):
        assert f"+{command.lower()}" in setup.VALKEY_COMMANDS.split()


def test_the_servers_configuration_lets_nobody_in_without_a_password() -> None:
    lines = (ROOT / "deploy" / "compose" / "valkey.conf").read_text().splitlines()
    users = [line for line in lines if line.startswith("user ")]
    assert users == ["user default off", "user health on nopass resetkeys resetchannels -@all +ping"]
    assert SERVICES["db"]["environment"]["POSTGRES_INITDB_ARGS"].startswith("--auth-host=scram-sha-256 ")
