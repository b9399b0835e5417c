"""The pages: plain HTML and CSV for people, each within the scope of who signed in. No page is open."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi import Path as InPath
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.exceptions import HTTPException as AnyHTTPException

from services.reporting import csv_tables, views
from services.reporting.access.entering import Access, form_token
from services.reporting.access.looks import note_look
from services.reporting.access.viewers import Role, Viewer, viewing
from services.reporting.register import find_one
from services.reporting.views import Scope
from services.reporting.words import Words, grouped, shanghai_time

TEMPLATES: Final = Path(__file__).parent / "templates"
Province = Annotated[str, InPath(pattern=r"^[0-9]{2}$")]
StatementId = Annotated[str, InPath(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]
NOT_HERE: Final = "nothing by this name in your share"


class Pages:
    """Renders the templates; everything put into them is escaped."""

    def __init__(self, words: Words) -> None:
        self.words = words
        style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._environment.filters |= {"grouped": grouped, "shanghai": shanghai_time}
        self._environment.globals |= {"words": words, "style": style}
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self._headers = {
            "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'",
            "Cache-Control": "private, no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """An HTML page."""
        text = self._environment.get_template(template).render(values)
        return HTMLResponse(text, status, self._headers)

    def form_page(self, request: Request, template: str, status: int, **values: Any) -> Response:
        """An HTML page with a form in it."""
        return self.page(template, status, form_token=form_token(request), **values)

    def csv(self, name: str, body: bytes) -> Response:
        """A CSV download under this name."""
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}.csv"}
        return Response(body, 200, self._headers | headers, "text/csv; charset=utf-8")


def install(app: FastAPI, access: Access, engine: AsyncEngine, names: Mapping[str, str]) -> Pages:
    """Add the pages to the app, and return what renders them. CSV routes come first, for `44.csv` is no province."""
    pages = Pages(Words(names))

    office = access.require(*(role for role in Role if role is not Role.WORKER))

    def scope_of(viewer: Annotated[Viewer, Depends(office)]) -> Scope:
        return Scope.of(viewer)

    seen = Annotated[Scope, Depends(scope_of)]
    _add_index(app, engine, pages, seen)
    _add_days(app, engine, pages, seen)
    _add_statements(app, engine, pages, seen)
    _add_discrepancies(app, engine, pages, seen, Annotated[Viewer, Depends(office)])
    _add_errors(app, pages)
    return pages


def _add_index(app: FastAPI, engine: AsyncEngine, pages: Pages, seen: Any) -> None:
    month = Annotated[str | None, Query(pattern=r"^[0-9]{4}-[0-9]{2}$")]

    async def read(scope: Scope, period: str | None) -> dict[str, Any]:
        async with engine.connect() as connection:
            periods = await views.list_periods(connection, scope)
            shown = period or (periods[0] if periods else None)
            days = await views.list_reports(connection, scope, "coverage", shown) if shown else []
            statements = await views.list_reports(connection, scope, "declaration", shown) if shown else []
        return {"periods": periods, "period": shown, "days": days, "statements": statements}

    @app.get("/", include_in_schema=False)
    async def index(scope: seen, period: month = None) -> Response:
        return pages.page("index.html", **await read(scope, period))

    @app.get("/reports.csv", include_in_schema=False)
    async def index_csv(scope: seen, period: month = None) -> Response:
        found = await read(scope, period)
        rows = [{"kind": "coverage"} | row for row in found["days"]]
        rows += [{"kind": "declaration"} | row for row in found["statements"]]
        named = [
            row | {"period": found["period"], "enterprise_name": pages.words.enterprise(row["enterprise"])}
            for row in rows
        ]
        return pages.csv(f"reports-{found['period'] or 'none'}", csv_tables.write_csv(csv_tables.INDEX_COLUMNS, named))


def _add_days(app: FastAPI, engine: AsyncEngine, pages: Pages, seen: Any) -> None:
    async def read(scope: Scope, day: date, province: str) -> views.DayView:
        if scope.enterprises is not None and not scope.enterprises and not scope.has_province(province):
            raise HTTPException(403, f"this key does not read province {province}")
        async with engine.connect() as connection:
            view = await views.find_day(connection, scope, day, province)
        if view is None:
            raise HTTPException(404, NOT_HERE)
        return view

    @app.get("/days/{day}/{province}.csv", include_in_schema=False)
    async def day_csv(scope: seen, day: date, province: Province) -> Response:
        rows = csv_tables.day_rows(await read(scope, day, province), pages.words)
        return pages.csv(f"coverage-{day}-{province}", csv_tables.write_csv(csv_tables.DAY_COLUMNS, rows))

    @app.get("/days/{day}/{province}", include_in_schema=False)
    async def day_page(scope: seen, day: date, province: Province) -> Response:
        return pages.page("day.html", view=await read(scope, day, province))


def _add_statements(app: FastAPI, engine: AsyncEngine, pages: Pages, seen: Any) -> None:
    async def read(scope: Scope, statement_id: str) -> views.StatementView:
        async with engine.connect() as connection:
            view = await views.find_statement(connection, scope, statement_id)
        if view is None:
            raise HTTPException(404, NOT_HERE)
        return view

    @app.get("/statements/{statement_id}.csv", include_in_schema=False)
    async def statement_csv(scope: seen, statement_id: StatementId) -> Response:
        rows = csv_tables.statement_rows(await read(scope, statement_id), pages.words)
        return pages.csv(f"statement-{statement_id}", csv_tables.write_csv(csv_tables.STATEMENT_COLUMNS, rows))

    @app.get("/statements/{statement_id}", include_in_schema=False)
    async def statement_page(scope: seen, statement_id: StatementId) -> Response:
        return pages.page("statement.html", view=await read(scope, statement_id))


def _add_discrepancies(app: FastAPI, engine: AsyncEngine, pages: Pages, seen: Any, asking: Any) -> None:
    async def read(scope: Scope) -> list[dict[str, Any]]:
        async with engine.connect() as connection:
            return await views.list_discrepancies(connection, scope)

    @app.get("/discrepancies.csv", include_in_schema=False)
    async def discrepancies_csv(scope: seen) -> Response:
        body = csv_tables.write_csv(csv_tables.DISCREPANCY_COLUMNS, await read(scope))
        return pages.csv("discrepancies", body)

    @app.get("/discrepancies", include_in_schema=False)
    async def discrepancies_page(scope: seen) -> Response:
        return pages.page("discrepancies.html", rows=await read(scope))

    @app.get("/discrepancies/{discrepancy_id}", include_in_schema=False)
    async def discrepancy_page(viewer: asking, discrepancy_id: int) -> Response:
        async with viewing(engine, viewer) as connection:
            found = await find_one(connection, discrepancy_id)
        if found is None:
            raise HTTPException(404, NOT_HERE)
        await note_look(engine, viewer, "orders_of_finding", str(discrepancy_id))
        return pages.page("finding.html", found=found)


def _add_errors(app: FastAPI, pages: Pages) -> None:
    @app.exception_handler(AnyHTTPException)
    async def say(request: Request, error: AnyHTTPException) -> Response:
        """People get a page, programs a JSON object."""
        if not request.url.path.startswith("/v1/") and "text/html" in request.headers.get("accept", ""):
            response: Response = pages.page("error.html", error.status_code, detail=error.detail)
        else:
            response = JSONResponse({"detail": error.detail}, error.status_code)
        response.headers.update(error.headers or {})
        return response
