"""Make what a secured Kafka needs: the broker's certificate and settings, and the passwords of those who log in.

Part of `python -m deploy.first_keys`. Passwords and certificates that exist are left as they are: an operator's own go
into the folders before the first start. Settings and copies are written again each time.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from deploy.broker_files import (
    FOR_BROKER,
    SECRET,
    make_password,
    replace_file,
    write_certificates,
    write_settings,
)
from shared.contracts.topic_rights import BROKER, FIXED, SERVICES, SUPER_USERS, enterprise_principal, logins_of
from shared.runtime.clock import now

SETTINGS: Final = Path(__file__).parent / "kafka" / "server.properties"
SEEN_AS: Final = "/keys/kafka-broker"
"""The broker's folder as its container sees it."""
HEALTH: Final = r"""
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="broker" \
  password="{password}";
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
"""


def make_kafka_files(keys: Path, published: str, usccs: Iterable[str]) -> None:
    """Write `kafka-broker` for the broker, `kafka-logins` for the setup job, and a folder for each service.

    The authority's key is in `kafka-authority`, which nobody else mounts; its certificate is public.
    """
    broker, logins = keys / "kafka-broker", keys / "kafka-logins"
    hosts = dict.fromkeys(("kafka", "localhost", published.rpartition(":")[0].strip("[]")))
    write_certificates(keys / "kafka-authority", broker, tuple(hosts), now())
    replace_file(keys / "public" / "kafka-ca.pem", (broker / "ca.pem").read_bytes(), FOR_BROKER)
    passwords = {login: make_password(logins / login) for login in SUPER_USERS}
    settings = SETTINGS.read_text().replace("{published}", published)
    write_settings(broker, SEEN_AS, settings, passwords[BROKER], passwords)
    health = HEALTH.format(folder=SEEN_AS, password=passwords[BROKER])
    replace_file(broker / "health.properties", health.encode(), FOR_BROKER)
    for service in SERVICES:
        for login in logins_of(service):
            password = make_password(logins / login)
            replace_file(keys / f"kafka-{service}" / login, f"{password}\n".encode(), SECRET)
    others = [name for name in FIXED if name not in SERVICES] + [enterprise_principal(uscc) for uscc in usccs]
    for principal in others:
        if not any((logins / login).exists() for login in logins_of(principal)):
            make_password(logins / logins_of(principal)[0])
