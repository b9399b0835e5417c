"""One URL means the same to all who read it: SQLAlchemy, and asyncpg, which reads as the standard library does."""

from urllib.parse import quote, unquote, urlsplit

import pytest
from sqlalchemy.engine import URL, make_url

from shared.adapters.postgres.pool import plain_url, with_login
from shared.domain.errors import Refused

SIGNS = "a /:?#[]@!$&'()*+,;=%~密"
URLS = [
    "postgresql://danbao@127.0.0.1:5432/danbao",
    "postgresql+asyncpg://danbao:secret@db.example:5433/danbao",
    "postgresql://danbao:a/b?c#d%25e+f@127.0.0.1/danbao",
    f"postgresql://{quote('ro' + SIGNS, '')}:{quote(SIGNS, '')}@127.0.0.1:5432/danbao",
    "postgresql://danbao:secret@[::1]:5432/danbao",
    "postgresql://danbao:secret@127.0.0.1:5432/danbao?sslmode=disable&application_name=a%20b",
    "postgresql://danbao:secret@127.0.0.1:5432",
    "postgresql://127.0.0.1:5432/danbao",
]


def agree(url: str, meant: URL) -> None:
    """Both readers take it for what is meant."""
    assert make_url(url) == meant
    parsed = urlsplit(url)
    assert (parsed.hostname, parsed.port, parsed.path[1:]) == (meant.host, meant.port, meant.database or "")
    login = [None if part is None else unquote(part) for part in (parsed.username, parsed.password)]
    assert login == [meant.username, meant.password]


@pytest.mark.parametrize("url", URLS)
def test_without_a_driver_it_means_the_same(url: str) -> None:
    agree(plain_url(url), make_url(url).set(drivername="postgresql"))


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("database", [None, "other"])
def test_another_login_is_of_the_same_server(url: str, database: str | None) -> None:
    meant = make_url(url).set(drivername="postgresql", username="ro:le", password=SIGNS)
    agree(with_login(url, "ro:le", SIGNS, database), meant.set(database=database) if database else meant)


@pytest.mark.parametrize("url", ["", "127.0.0.1:5432", "danbao", "postgresql:/danbao"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(Refused, match="named by a URL"):
        plain_url(url)
