"""Somebody types an identity number, or a password, into the field of the name: it is nowhere to be read."""

from pathlib import Path

from tests.integration.reporting.access_harness import access_house, add, browser, sign_in
from tests.support.servers import Postgres

CITIZEN, PASSWORD = "110105194912310021", "MyS3cret-Passw0rd"


async def test_what_a_stranger_types_is_not_kept_as_it_came(postgres: Postgres, tmp_path: Path) -> None:
    async with access_house(postgres, tmp_path) as (house, owner):
        assert (await add(house, "known-one", "national")).status_code == 201
        async with browser(house) as client:
            for typed in (CITIZEN, CITIZEN, PASSWORD, "known-one"):
                assert (await sign_in(client, typed, "wrong password")).status_code == 401
        assert (await add(house, "13800138000", "national")).status_code == 409, "nor may an account be called so"
        subjects = [row[0] for row in await owner.fetch(
            "select subject from reporting.access_note where what = 'attempted' order by id")]  # fmt: skip
        assert subjects[0] == subjects[1] != subjects[2]
        assert [subject.partition(":")[0] for subject in subjects] == ["unknown"] * 3 + ["known-one"]
        tables = await owner.fetch("select relname from pg_class where relnamespace = 'reporting'::regnamespace"
                                   " and relkind = 'r'")  # fmt: skip
        for (table,) in tables:
            for (row,) in await owner.fetch(f'select t::text from reporting."{table}" t'):
                assert CITIZEN not in row, table
                assert PASSWORD.lower() not in row.lower(), table
