"""Watches when certificates end: those that this process shows or checks others by, and those of a folder.

From ALARM_DAYS before an end it is a warning of /readyz, which stays ready: nothing has failed yet. The metric has the
days of each file at any time. A file that holds no certificate is a warning, too.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from shared.runtime.clock import now
from shared.runtime.settings import Settings

ALARM_DAYS: Final = 30
_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class CertificateEnd:
    """When the first of a file's certificates ends; None for a file that holds none."""

    file: Path
    ends_at: datetime | None

    def days(self, at: datetime) -> float:
        """Days until then, negative when it has ended; -1 where nothing can be read."""
        return -1.0 if self.ends_at is None else (self.ends_at - at).total_seconds() / _DAY_SECONDS

    def warning(self, at: datetime) -> str | None:
        """What is to be said of it, if anything."""
        if self.ends_at is None:
            return f"{self.file} holds no certificate"
        days = self.days(at)
        if days >= ALARM_DAYS:
            return None
        when = f"on {self.ends_at:%Y-%m-%d}"
        return f"{self.file} has ended {when}" if days < 0 else f"{self.file} ends in {days:.0f} days, {when}"


class CertificateWatch(Collector):
    """The files that these settings name, read again each time: they change while the process runs."""

    def __init__(self, service: str, settings: Settings) -> None:
        root = os.environ.get("PGSSLROOTCERT")
        named = (settings.tls_certificate, settings.tls_ca, settings.platform_ca, settings.kafka_ca)
        self._files = [*named, settings.kafka_certificate, Path(root) if root else None]
        self._folder, self._service = settings.certificates, service

    def warning(self) -> str | None:
        """All that is to be said, the files by name; None when there is nothing."""
        at = now()
        said = [words for end in self.ends() if (words := end.warning(at)) is not None]
        return "; ".join(said) or None

    def collect(self) -> Iterator[Metric]:
        """The metric of each file."""
        days = GaugeMetricFamily(
            f"danbao_{self._service}_certificate_days",
            f"Days until a certificate of the file ends; below {ALARM_DAYS} is an alarm",
            labels=["file"],
        )
        at = now()
        for end in self.ends():
            days.add_metric([str(end.file)], end.days(at))
        yield days

    def ends(self) -> list[CertificateEnd]:
        """Each file once, in the order of names."""
        folder = sorted(self._folder.glob("*.pem")) if self._folder is not None else []
        files: Iterable[Path] = {file for file in self._files if file is not None} | set(folder)
        return [CertificateEnd(file, first_end(file)) for file in sorted(files)]


def first_end(file: Path) -> datetime | None:
    """When the first of the file's certificates ends."""
    try:
        certificates = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError):
        return None
    return min(certificate.not_valid_after_utc for certificate in certificates)
