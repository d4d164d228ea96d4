"""docker-compose.yml: valid, whole, and closed to the outside. No container engine runs here, so it is read instead."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import compose
import pytest
from dotenv import dotenv_values

from routing_core.errors import SettingsError
from routing_core.settings import load_settings
from routing_core.steps.deployment import make_env

AIRFLOW = {"init", "api-server", "scheduler", "dag-processor", "triggerer", "worker"}
SECRETS = {"FERNET_KEY", "JWT_SECRET", "API_SECRET_KEY", "AIRFLOW_DB_PASSWORD", "RESULTS_DB_PASSWORD"}


def environment_file(folder: Path, executor: Any = "celery") -> dict[str, str]:
    file = folder / f"{executor}.env"
    make_env(file, executor=executor, data=folder / "data")
    return {name: value or "" for name, value in dotenv_values(file).items()}


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return environment_file(tmp_path)


@pytest.fixture
def services(variables: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = compose.read(variables)["services"]
    return found


def test_it_is_a_compose_file():
    done = subprocess.run(
        [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", compose.FILE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_has_every_part_of_an_airflow_and_two_databases(services: dict[str, Any]):
    assert set(services) == AIRFLOW | {"airflow-db", "results-db", "redis"}


def test_only_worker_and_redis_are_behind_the_profile_of_workers(services: dict[str, Any]):
    profiles = {name: service["profiles"] for name, service in services.items() if "profiles" in service}
    assert profiles == {"worker": ["celery"], "redis": ["celery"]}


@pytest.mark.parametrize(("executor", "name", "profile"), [("local", "Local", ""), ("celery", "Celery", "celery")])
def test_executor_and_profile_are_chosen_together(tmp_path: Path, executor: str, name: str, profile: str):
    chosen = environment_file(tmp_path, executor)
    assert chosen["COMPOSE_PROFILES"] == profile
    ran = compose.read(chosen)["services"]["scheduler"]["environment"]["AIRFLOW__CORE__EXECUTOR"]
    assert ran == f"{name}Executor"


def test_every_required_variable_is_in_the_generated_file_and_none_is_there_in_vain(variables: dict[str, str]):
    assert compose.required_variables() <= set(variables)
    assert set(variables) - compose.all_variables() == {"COMPOSE_PROFILES"}
    assert all(variables[name] for name in compose.required_variables())


def test_the_services_of_airflow_share_one_environment(services: dict[str, Any]):
    shared = [{k: v for k, v in services[name]["environment"].items() if k != "ADMIN_PASSWORD"} for name in AIRFLOW]
    assert all(one == shared[0] for one in shared)


def test_secrets_come_from_the_generated_file_alone(variables: dict[str, str]):
    text = compose.FILE.read_text()
    environment = compose.read(variables)["services"]["worker"]["environment"]
    for name in SECRETS | {"REDIS_PASSWORD"}:
        assert re.search(rf"\${{{name}:\?", text), f"{name} has a default"
        assert any(variables[name] in value for value in environment.values())


def test_references_between_services_and_volumes_hold(services: dict[str, Any], variables: dict[str, str]):
    named = set(compose.read(variables)["volumes"])
    used = {v.split(":")[0] for service in services.values() for v in service.get("volumes", [])}
    assert {volume for volume in used if not volume.startswith((".", "/"))} == named
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            waits_for_health = how["condition"] == "service_healthy"
            assert ("healthcheck" in services[other]) if waits_for_health else services[other]["restart"] == "no"
            if "profiles" in services[other] and "profiles" not in service:
                assert how["required"] is False, f"{name} needs {other}, which may not be there"


def test_what_runs_for_long_says_how_it_is_and_starts_again(services: dict[str, Any]):
    for name, service in services.items():
        if name != "init":
            assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
            assert service["restart"] == "unless-stopped"


def test_the_folders_of_the_checkout_are_mounted_for_reading_alone(services: dict[str, Any]):
    for name in AIRFLOW:
        mounted = [v.split(":") for v in services[name]["volumes"] if v.startswith("./")]
        assert {source for source, *_ in mounted} == {"./dags", "./plugins", "./routing_core", "./sql", "./config"}
        for source, target, mode in mounted:
            assert (compose.REPOSITORY / source).is_dir()
            assert (target, mode) == (f"/opt/nightshift/{source[2:]}", "ro")


def test_ports_are_open_on_the_loopback_interface_alone(services: dict[str, Any]):
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert not any("network_mode" in service for service in services.values())


def test_nothing_runs_as_root(services: dict[str, Any], variables: dict[str, str]):
    for service in services.values():
        assert service["user"].split(":")[0] not in {"0", "root", ""}
        assert "no-new-privileges:true" in service["security_opt"]
        assert not service.get("privileged")
    dockerfile = (compose.REPOSITORY / "Dockerfile").read_text()
    assert re.findall(r"^USER (\S+)", dockerfile, re.MULTILINE)[-1] == "50000:0"


def test_tasks_and_components_find_one_another(services: dict[str, Any]):
    environment = services["worker"]["environment"]
    hosts = re.findall(r"(?:@|http://)([a-z-]+):\d+", " ".join(map(str, environment.values())))
    assert set(hosts) - {"localhost"} == {"api-server", "airflow-db", "results-db", "redis"}
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"].endswith("/execution/")
    assert environment["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"] == "30"


def test_the_settings_of_the_containers_are_settings(services: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    for name, value in services["worker"]["environment"].items():
        if name.startswith("NIGHTSHIFT_"):
            monkeypatch.setenv(name, value)
    assert load_settings().database_url.startswith("postgresql://nightshift:")


def test_every_airflow_option_named_is_one_that_airflow_knows(services: dict[str, Any]):
    asked = {name for name in services["worker"]["environment"] if name.startswith("AIRFLOW__")}
    # In a process of its own: importing Airflow would lay out a home.
    program = (
        "from airflow.configuration import conf\n"
        "from airflow.providers_manager import ProvidersManager\n"
        "ProvidersManager().initialize_providers_configuration()\n"
        "print([f'AIRFLOW__{s}__{o}'.upper() for s, options in conf.configuration_description.items()"
        " for o in options['options']])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert asked <= set(ast.literal_eval(done.stdout.splitlines()[-1]))


def test_the_image_is_built_from_the_lock_with_all_that_compose_needs():
    dockerfile = (compose.REPOSITORY / "Dockerfile").read_text()
    assert "--require-hashes --requirement requirements/runtime.txt" in dockerfile
    lock = (compose.REPOSITORY / "requirements" / "runtime.txt").read_text()
    pinned = dict(re.findall(r"^([a-z0-9-]+)(?:\[[a-z0-9,-]+\])?==(\S+)", lock, re.MULTILINE))
    assert pinned["apache-airflow"].startswith("3.3.")
    assert pinned["celery"].startswith("5.6."), "5.7 breaks the provider"
    needed = {"redis", "asyncpg", "psycopg2-binary", "apache-airflow-providers-celery", "apache-airflow-providers-fab"}
    assert needed <= set(pinned)
    for source in re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE):
        assert all((compose.REPOSITORY / one).exists() for one in source.split())


def test_nothing_secret_is_sent_to_be_built():
    allowed = (compose.REPOSITORY / ".dockerignore").read_text().splitlines()
    assert "*" in allowed
    assert "**/.env" in allowed


def test_the_generated_file_is_its_owners_alone_and_new_each_time(tmp_path: Path):
    make_env(tmp_path / "a", data=tmp_path / "data")
    make_env(tmp_path / "b", data=tmp_path / "data")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    a, b = dotenv_values(tmp_path / "a"), dotenv_values(tmp_path / "b")
    kept = {name for name in a if a[name] == b[name]}
    assert kept == {"AIRFLOW_EXECUTOR", "COMPOSE_PROFILES", "AIRFLOW_UID", "NIGHTSHIFT_DATA"}


def test_a_file_that_is_there_is_never_touched(tmp_path: Path):
    file = tmp_path / ".env"
    file.write_text("MINE=1\n")
    with pytest.raises(SettingsError, match="left as it is"):
        make_env(file)
    assert file.read_text() == "MINE=1\n"


def test_a_data_directory_of_any_name_is_passed_on_as_it_is(tmp_path: Path):
    home = tmp_path / "it's $HOME, really"
    make_env(tmp_path / ".env", data=home)
    assert dotenv_values(tmp_path / ".env", interpolate=False)["NIGHTSHIFT_DATA"] == str(home)
    assert home.is_dir()


def test_the_data_are_not_roots(tmp_path: Path):
    make_env(tmp_path / ".env", data=tmp_path / "data")
    uid = int(dotenv_values(tmp_path / ".env")["AIRFLOW_UID"] or 0)
    assert uid == (tmp_path / "data").stat().st_uid != 0
    assert uid == (os.getuid() or 50000)
