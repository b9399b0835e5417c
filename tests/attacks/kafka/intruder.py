"""Somebody with all privileges in our database who knows how everything is worked out, and repairs what he can."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import asyncpg
import msgspec
from msgspec.structs import replace

from services.audit.charging.batches import BatchContents
from services.audit.charging.row_contents import RowReader
from services.audit.facts import read_facts
from services.audit.verdict import Check
from services.demo.running.system import System
from shared.adapters.crypto.signing import NoteSigner
from shared.contracts.manifests import Outcome, PremiumsCharged, Total, head_of
from shared.domain.evidence import merkle
from shared.domain.evidence.checkpoint import Checkpoint
from shared.domain.evidence.signed_note import ED25519, Note

_REPAIRED: Final = {
    "charging.manifest": ("batch", "leaves root payload events"),
    "ledger.manifest_booked": ("run number", "leaves root content_sha256"),
    "ledger.log_entry": ("index", "entry"),
    "ledger.log_node": ("level index", "hash"),
    "ledger.checkpoint": ("size", "root note"),
}
"""What the repairs change, by key and columns."""


@dataclass
class Intruder:
    """`connection` is the owner's, with every trigger passed by."""

    system: System
    connection: Any

    async def row(self, where: str) -> Any:
        """The first row of charging that fits, with its physical location."""
        first = await self.connection.fetchrow(
            f"select tableoid, ctid::text, e.* from charging.entry e where {where} order by batch, leaf_index limit 1"
        )
        assert first is not None, where
        return first

    async def uscc(self, row: Any) -> str:
        """Whose order the row is of."""
        sql = "select uscc from charging.enterprise where id = $1"
        uscc: str = await self.connection.fetchval(sql, row["enterprise"])
        return uscc

    async def manifest(self, batch: int) -> PremiumsCharged:
        payload = await self.connection.fetchval("select payload from charging.manifest where batch = $1", batch)
        return msgspec.json.decode(payload, type=PremiumsCharged)

    async def repair_manifest(self, batch: int) -> PremiumsCharged:
        """Recompute the batch's manifest from its current rows: leaves, root, charged orders and premium."""
        facts = await read_facts(self.connection, self.system.scheme, Check("", ""))
        facts.manifests.clear()  # of a batch that may have any number of leaves, all are kept
        rows = RowReader(facts, Check("", ""))
        async with self.connection.transaction():
            await rows.read(self.connection)
        counted = rows.batches[batch]
        old = await self.manifest(batch)
        reported = replace(old, leaves=counted.count, root=counted.root().hex(), totals=_totals(old, counted))
        more = sum(total.orders for total in reported.totals) - sum(total.orders for total in old.totals)
        await self.connection.execute(
            "update charging.manifest set leaves = $2, root = $3, payload = $4, events = events + $5 where batch = $1",
            batch, reported.leaves, bytes.fromhex(reported.root), msgspec.json.encode(reported), more,
        )  # fmt: skip
        return reported

    async def repair_booking(self, reported: PremiumsCharged) -> None:
        """Let the ledger have booked that manifest."""
        content = sha256(msgspec.json.encode(reported)).digest()
        await self.connection.execute(
            "update ledger.manifest_booked set leaves = $3, root = $4, content_sha256 = $5"
            " where (run, number) = ($1, $2)",
            reported.run, reported.number, reported.leaves, reported.root, content,
        )  # fmt: skip

    async def repair_log(self, reported: PremiumsCharged) -> None:
        """Put its head into the log, and re-sign every checkpoint with the log's own key."""
        await self.connection.execute(
            "update ledger.log_entry set entry = $3 where (run, number) = ($1, $2)",
            reported.run, reported.number, bytes(head_of(reported)),
        )  # fmt: skip
        rows = await self.connection.fetch("select leaf_hash from ledger.log_entry order by index")
        leaves = [bytes(row["leaf_hash"]) for row in rows]
        await self._repair_nodes(leaves)
        origin = self.system.settings.log_origin
        signer = NoteSigner(self.system.directory / "log.pem", origin, ED25519)
        for row in await self.connection.fetch("select size, root from ledger.checkpoint"):
            checkpoint = Checkpoint(origin, row["size"], merkle.root(leaves[: row["size"]]))
            if checkpoint.root == bytes(row["root"]):
                continue
            note = bytes(Note(checkpoint.text, (signer.sign(checkpoint.text),)))
            await self.connection.execute(
                "update ledger.checkpoint set root = $2, note = $3 where size = $1",
                checkpoint.size,
                checkpoint.root,
                note,
            )
            await self.connection.execute("delete from ledger.cosignature where size = $1", checkpoint.size)

    async def _repair_nodes(self, leaves: list[bytes]) -> None:
        for place in range(len(leaves) // 256):
            tile = merkle.root(leaves[place * 256 : (place + 1) * 256])
            await self.connection.execute(
                "update ledger.log_node set hash = $2 where (level, index) = (1, $1)", place, tile
            )

    async def remember(self) -> None:
        """What is kept of manifests, bookings and log, for `put_back`."""
        for table in _REPAIRED:
            await self.connection.execute(f"create temporary table kept_{table.partition('.')[2]} as table {table}")
        await self.connection.execute("create temporary table kept_cosignature as table ledger.cosignature")

    async def put_back(self) -> None:
        """All of it as it was remembered; rows of charging are left as they are."""
        for table, (keys, columns) in _REPAIRED.items():
            kept = f"kept_{table.partition('.')[2]}"
            values = ", ".join(f"{column} = k.{column}" for column in columns.split())
            same = " and ".join(f"t.{key} = k.{key}" for key in keys.split())
            await self.connection.execute(f"update {table} t set {values} from {kept} k where {same}")
        sql = "insert into ledger.cosignature select * from kept_cosignature on conflict do nothing"
        await self.connection.execute(sql)

    async def lower_a_bill(self) -> tuple[PremiumsCharged, str]:
        """One order less in a line of the books and in every sum above it; the manifest, and the statement's id."""
        line = await self.connection.fetchrow("""select * from ledger.day_line where outcome = 'charged' and orders > 1
            and insured_on = posting_day order by line_id desc limit 1""")
        base = line["premium"] // line["orders"]
        await self.connection.execute(
            "update ledger.day_line set orders = orders - 1, premium = premium - $2 where line_id = $1",
            line["line_id"], base,
        )  # fmt: skip
        await self.connection.execute(
            """update ledger.posting p set amount = amount - sign(amount) * $2 from ledger.account a
            where a.account_id = p.account_id and (entry_id, a.enterprise, a.province) = ($1, $3, $4)""",
            line["entry_id"], base, line["enterprise"], line["province"],
        )  # fmt: skip
        await self._lower_day(line, base)
        batch = await self.connection.fetchval(
            "select batch from charging.manifest m join charging.run r on r.id = run_id"
            " where (r.run, m.number) = ($1, $2)",
            line["run"], line["number"],
        )  # fmt: skip
        return await self.manifest(batch), await self._lower_statement(line, base)

    async def _lower_day(self, line: Any, base: int) -> None:
        day = line["posting_day"]
        totals = json.loads(await self.connection.fetchval("select totals from ledger.day_closed where day = $1", day))
        names = ("enterprise", "province", "industry", "tariff_line", "outcome")
        for total in totals:
            if all(total[name] == line[name] for name in names) and total["insured_on"] == str(line["insured_on"]):
                total["orders"] -= 1
                total["premium"] -= base
        await self.connection.execute(
            "update ledger.day_closed set totals = $2, orders = orders - 1, premium = premium - $3 where day = $1",
            day, json.dumps(totals), base,
        )  # fmt: skip

    async def _lower_statement(self, line: Any, base: int) -> str:
        period = f"{line['posting_day']:%Y-%m}"
        statement: str = await self.connection.fetchval(
            "select statement_id from ledger.statement where (enterprise, province, period) = ($1, $2, $3)",
            line["enterprise"], line["province"], period,
        )  # fmt: skip
        await self.connection.execute(
            """update ledger.statement_line set orders = orders - 1, exact_amount = exact_amount - $4,
                amount = round((exact_amount - $4) / 100.0) * 100
            where (statement_id, tariff_line, insured_month) = ($1, $2, $3)""",
            statement, line["tariff_line"], period, base,
        )  # fmt: skip
        await self.connection.execute(
            """update ledger.statement s set orders = l.orders, exact_amount = l.exact_amount, amount = l.amount
            from (select sum(orders) as orders, sum(exact_amount) as exact_amount, sum(amount) as amount
                from ledger.statement_line where statement_id = $1) l where s.statement_id = $1""",
            statement,
        )
        return statement


def _totals(old: PremiumsCharged, found: BatchContents) -> list[Total]:
    kept = [total for total in old.totals if total.outcome is not Outcome.CHARGED]
    charged = [
        Total(
            insured_on=day, enterprise=uscc, province=province, industry=industry, outcome=Outcome.CHARGED,
            reason=reason, tariff_line=line, orders=orders, premium=premium,
        )
        for (day, uscc, province, industry, outcome, reason, line), (orders, premium) in found.sums().items()
        if outcome == Outcome.CHARGED
    ]  # fmt: skip
    return [*charged, *kept]


@asynccontextmanager
async def intrude(system: System) -> AsyncIterator[Intruder]:
    """As the database's owner."""
    connection = await asyncpg.connect(system.variables["DANBAO_DATABASE"])
    try:
        await connection.execute("set session_replication_role = replica")
        yield Intruder(system, connection)
    finally:
        await connection.close()
