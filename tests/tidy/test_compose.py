"""What the compose file promises, as far as it can be read off it; that its commands run is tested in tests/e2e."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import new_env
from deploy.embedded.postgres import CONFIGURATION
from deploy.proxy_files import IN_COMPOSE
from deploy.tls_files import SERVERS
from services.demo.running.migrate import HISTORIES
from shared.contracts.topic_rights import SERVICES as SERVICES_OF_KAFKA
from shared.contracts.topic_rights import SUPER_USERS
from tests.tidy.source import ROOT

COMPOSE = ROOT / "docker-compose.yml"
JOBS = {"keys", "migrate", "kafka-setup"}  # run once and end
TOOLS = {"danbao", "archive"}  # not started with the others
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
REFERENCE = re.compile(r"\$\{([A-Z0-9_]+)(:\?|:-)?")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_everything_has_a_limit(name: str) -> None:
    assert "mem_limit" in SERVICES[name]


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - JOBS - TOOLS))
def test_what_stays_up_says_how_it_is(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_who_waits_waits_for_health_or_for_an_end(name: str) -> None:
    needs = SERVICES[name].get("depends_on", {})
    for other, need in needs.items():
        assert need["condition"] == f"service_{'completed_successfully' if other in JOBS else 'healthy'}"


def test_charging_can_be_there_several_times() -> None:
    assert not {"ports", "container_name", "hostname"} & SERVICES["charging"].keys()


def networks(name: str) -> set[str]:
    return set(SERVICES[name].get("networks", ()))


def test_strangers_reach_the_proxy_and_kafkas_outer_listener_only() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"proxy", "kafka"}
    assert {name for name in SERVICES if "outside" in networks(name)} == {"proxy", "kafka"}
    reachable = yaml.safe_load(COMPOSE.read_text())["networks"]
    assert {name for name, network in reachable.items() if not (network or {}).get("internal")} == {"outside"}


def test_each_network_has_who_needs_it() -> None:
    """The proxy reaches neither Kafka nor a database, the national platform only its own database and the door."""
    members = {net: {name for name in SERVICES if net in networks(name)} for net in ("ingest", "data", "portal")}
    assert members == {
        "ingest": {"kafka", "kafka-setup", "charging", "ledger", "reporting"},
        "data": {"postgres", "migrate", "charging", "ledger", "reporting", "danbao", "archive"},
        "portal": {"proxy", "ledger", "reporting"},
    }
    assert networks("national-platform") == {"between", "platform", "platform-portal"}
    assert networks("platform-postgres") == {"platform"}


@pytest.mark.parametrize(
    ("name", "network"), [("reporting", "portal"), ("ledger", "portal"), ("national-platform", "platform-portal")]
)
def test_the_proxy_alone_is_believed_about_who_asks(name: str, network: str) -> None:
    address = SERVICES["proxy"]["networks"][network]["ipv4_address"]
    assert SERVICES[name]["environment"]["DANBAO_TRUSTED_PROXIES"] == address
    assert network in networks(name)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_container_can_become_more_than_it_is(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("read_only") or name == "kafka"  # which writes its settings when it starts
    assert name.endswith("postgres") or "cap_add" not in service


@pytest.mark.parametrize("name", ["proxy", "kafka", "postgres", "platform-postgres"])
def test_a_strangers_image_can_be_held_to_a_digest(name: str) -> None:
    assert re.fullmatch(r"[a-z/]+:\$\{[A-Z]+_VERSION:-[0-9a-z.-]+\}\$\{[A-Z]+_DIGEST:-\}", SERVICES[name]["image"])


def variables() -> list[tuple[str, str, str]]:
    """Service, variable and value of every variable of the file."""
    services = SERVICES.items()
    return [(name, key, str(value)) for name, one in services for key, value in (one.get("environment") or {}).items()]


def test_no_secret_is_in_a_variable() -> None:
    """Every secret is a file: what a variable holds is in `docker inspect` and in /proc."""
    secret = re.compile(r"PASSWORD|SECRET|_KEY(_FILE)?$")
    assert [
        one for one in variables() if secret.search(one[1]) and not re.match(r"(\$\{\w+:-)?/(keys|run/secrets)", one[2])
    ] == []
    assert re.findall(r"://[^/@\s]*:[^/@\s]*@", re.sub(r"\$\{[^}]*\}", "", COMPOSE.read_text())) == []
    given = {name for name, how in REFERENCE.findall(COMPOSE.read_text())}
    assert {name for name in given if re.search(r"PASSWORD|_KEY$", name)} <= {
        "DANBAO_CHARGING_AUTHOR_KEY", "DANBAO_LEDGER_AUTHOR_KEY", "DANBAO_PERSON_KEY",  # paths
    }  # fmt: skip


def test_each_secret_has_a_file_and_who_reads_it() -> None:
    declared = yaml.safe_load(COMPOSE.read_text())["secrets"]
    assert set(declared) == set(new_env.SECRETS)
    assert {one["file"] for one in declared.values()} == {f"${{DANBAO_SECRETS:-./secrets}}/{name}" for name in declared}
    mounted = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}
    assert mounted == set(declared)
    roles = [role for history in HISTORIES for role in (*history.logins, *history.second_logins)]
    assert set(roles) | {"postgres", "platform_postgres"} == set(SERVICES["migrate"]["secrets"])


def test_who_is_given_a_secret_mounts_it_and_nobody_mounts_another() -> None:
    """A login may be either of two: `${LEDGER_DATABASE_LOGIN:-danbao_ledger}` names the first one."""
    reading: dict[str, set[str]] = {}
    for name, _, value in variables():
        if value.startswith("/run/secrets/"):
            login = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", value.removeprefix("/run/secrets/"))
            reading.setdefault(name, set()).update({login, f"{login}_2"} if "$" in value else {login})
    mounted = {name: set(one["secrets"]) for name, one in SERVICES.items() if "secrets" in one}
    reading["migrate"] = mounted["migrate"]
    assert mounted == reading


def test_only_who_changes_tables_knows_the_owners_passwords() -> None:
    owners = {"postgres", "platform_postgres"}
    knowing = {name for name, service in SERVICES.items() if owners & set(service.get("secrets", ()))}
    assert knowing == {"postgres", "platform-postgres", "migrate"}


def test_kafka_asks_for_a_login_at_every_listener_and_denies_by_default() -> None:
    text = (ROOT / "deploy" / "kafka" / "server.properties").read_text()
    text += (ROOT / "deploy" / "kafka" / "security.properties").read_text()
    settings = dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))
    listeners = {address.partition(":")[0] for address in settings["listeners"].split(",")}
    protocols = dict(pair.split(":") for pair in settings["listener.security.protocol.map"].split(","))
    assert protocols == dict.fromkeys(listeners, "SASL_SSL")
    assert settings["authorizer.class.name"] == "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
    assert settings["allow.everyone.if.no.acl.found"] == "false"
    assert settings["super.users"].split(";") == [f"User:{login}" for login in SUPER_USERS]
    assert settings["transaction.max.timeout.ms"] == "60000"
    assert settings["auto.create.topics.enable"] == "false"
    assert not any(
        "SSL" not in value for name, value in SERVICES["charging"]["environment"].items() if "PROTOCOL" in name
    )


@pytest.mark.parametrize("service", SERVICES_OF_KAFKA)
def test_a_service_sees_its_own_kafka_passwords_and_no_other(service: str) -> None:
    folders = {volume.split(":")[1] for volume in SERVICES[service]["volumes"] if "/keys/kafka-" in volume}
    assert folders == {f"/keys/kafka-{service}"}
    environment = SERVICES[service]["environment"]
    assert environment["DANBAO_KAFKA_PROTOCOL"] == "SASL_SSL"
    assert environment["DANBAO_KAFKA_PASSWORD_FILE"].startswith(f"/keys/kafka-{service}/")


def test_who_reaches_kafka_has_a_login_and_who_has_none_is_not_told_where_it_is() -> None:
    logged_in = {name for name, service in SERVICES.items() if "DANBAO_KAFKA_USER" in service.get("environment", {})}
    assert logged_in == {name for name in SERVICES if "ingest" in networks(name)} - {"kafka"}
    assert logged_in == {name for name, service in SERVICES.items() if "DANBAO_KAFKA" in service.get("environment", {})}


def test_only_the_jobs_see_all_kafka_passwords() -> None:
    seeing = {name for name, service in SERVICES.items() if "kafka-logins:" in str(service.get("volumes"))}
    assert seeing == {"keys", "kafka-setup"}
    assert {name for name, service in SERVICES.items() if "kafka-authority" in str(service.get("volumes"))} == {"keys"}


def test_make_env_gives_all_that_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".env.example").write_text((ROOT / ".env.example").read_text())
    assert new_env.main(tmp_path) == 0
    text = (tmp_path / ".env").read_text()
    given = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    required = {name for name, how in REFERENCE.findall(COMPOSE.read_text()) if how == ":?"}
    assert required == {"KAFKA_CLUSTER_ID"}
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", given["KAFKA_CLUSTER_ID"])
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    secrets = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    assert secrets.keys() == set(new_env.SECRETS)
    assert len(set(secrets.values())) == len(secrets)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}\n", secret) for secret in secrets.values())
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert not [name for name, secret in secrets.items() if secret.strip() in text + capsys.readouterr().out]
    assert new_env.main(tmp_path) == 1
    (tmp_path / "secrets" / "danbao_ledger_2").unlink()
    assert new_env.main(tmp_path) == 0
    again = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    assert {name for name in secrets if secrets[name] != again[name]} == {"danbao_ledger_2"}
    assert (tmp_path / ".env").read_text() == text


@pytest.mark.parametrize("name", ["postgres", "platform-postgres"])
def test_both_databases_read_the_one_file_of_settings(name: str) -> None:
    server = SERVICES[name]
    assert "./deploy/postgres:/etc/danbao:ro" in server["volumes"]
    assert server["command"][:3] == ["postgres", "-cconfig_file=/etc/danbao/postgresql.conf", "-clisten_addresses=*"]
    sizes = {argument.removeprefix("-c").partition("=")[0] for argument in server["command"][7:]}
    given = re.findall(r"^(\w+) = ", CONFIGURATION.read_text(), re.MULTILINE)
    assert sizes <= set(given)
    assert all(name.endswith(("_buffers", "_size", "_mem")) for name in sizes)


def test_every_setting_has_its_reason() -> None:
    settings = [line for line in CONFIGURATION.read_text().splitlines() if line and not line.startswith("#")]
    bare = [line for line in settings if not re.fullmatch(r"\w+ = \S+ +# .+", line)]
    assert bare == []


@pytest.mark.parametrize("name", ["postgres", "platform-postgres"])
def test_nobody_reaches_a_database_without_tls(name: str) -> None:
    arguments = dict(argument.removeprefix("-c").split("=", 1) for argument in SERVICES[name]["command"][1:])
    assert arguments["ssl"] == "on"
    assert arguments["hba_file"] == "/etc/danbao/pg_hba.conf"
    rules = (ROOT / "deploy" / "postgres" / "pg_hba.conf").read_text().splitlines()
    assert [line.split()[0] for line in rules if line and not line.startswith("#")] == ["local", "hostssl"]
    using = {service for service, key, value in variables() if key.endswith("DATABASE") and f"@{name}:" in value}
    checked = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/keys/public/ca.pem"}
    for service in using:
        assert checked.items() <= SERVICES[service]["environment"].items(), service
        assert "public-keys:/keys/public:ro" in SERVICES[service]["volumes"], service


def test_every_service_is_https_and_every_client_checks_it() -> None:
    urls = [(service, value) for service, key, value in variables() if key.endswith("_URL")]
    assert [one for one in urls if not re.match(r"(\$\{PUBLIC_URL:-)?https://", one[1])] == []
    for service in {service for service, value in urls if "PUBLIC" not in value}:
        assert SERVICES[service]["environment"]["DANBAO_TLS_CA"] == "/keys/public/ca.pem", service
    folders = {server.folder for server in SERVERS if not server.folder.endswith("postgres-tls")}
    files = {value for _, key, value in variables() if key == "DANBAO_TLS_CERTIFICATE"}
    assert files == {f"/keys/{folder}/tls.pem" for folder in folders}
    assert {server.host for server in SERVERS} == {"charging", "ledger", "reporting", "national-platform"} | {
        "postgres", "platform-postgres",
    }  # fmt: skip
    assert IN_COMPOSE["UPSTREAM"] == "https"
