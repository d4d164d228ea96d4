"""What the page is served by: GET only, behind Airflow's own login and the right to read `route_backlog`'s runs.

Every figure comes from ``routing_core.steps``; nothing is computed here, and nothing is written anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from threading import Semaphore
from typing import Annotated, Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from routing_core.errors import DateError, NightshiftError, NotFoundError, SettingsError
from routing_core.settings import Settings, load_settings
from routing_core.steps import prepare, read

STATIC = Path(__file__).parent / "static"
FILES = {
    "page.js": "text/javascript",
    "charts.js": "text/javascript",
    "sections.js": "text/javascript",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
    "vendor/echarts.min.js": "text/javascript",
}
"""The files that are served, and nothing beside them."""

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
SHARES = (0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)
"""Budgets of the frontier, as shares of the night's own."""

PATIENCE = 30.0
"""How long a question that plans the night again waits for its turn, s."""

_one_at_a_time = Semaphore(1)

may_read = Depends(requires_access_dag(method="GET", access_entity=DagAccessEntity.RUN, param_dag_id="route_backlog"))
app = FastAPI(title="Nightshift", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[may_read])


@app.middleware("http")
async def closed(request: Request, follow: Callable[[Request], Awaitable[Response]]) -> Response:
    """Let a browser run nothing that is not ours, and keep no figure."""
    answer = await follow(request)
    answer.headers["Content-Security-Policy"] = CONTENT_POLICY
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "same-origin"
    answer.headers.setdefault("Cache-Control", "no-store")
    return answer


@app.exception_handler(NightshiftError)
async def refuse(_request: Request, error: NightshiftError) -> JSONResponse:
    """A named error, with what to type to get past it."""
    kinds = {NotFoundError: 404, DateError: 422, SettingsError: 422}
    status = next((code for kind, code in kinds.items() if isinstance(error, kind)), 409)
    body = {"detail": error.message, "remedy": error.remedy, "kind": type(error).__name__}
    return JSONResponse(body, status_code=status)


@app.exception_handler(Exception)
async def failed(_request: Request, _error: Exception) -> JSONResponse:
    """What was not foreseen, such as a database that is not there; the server's log has all of it."""
    return JSONResponse({"detail": "the figures cannot be read; the API server's log says why"}, status_code=500)


def ready() -> Settings:
    """The settings, of a results database that is at this code's schema."""
    settings = load_settings()
    prepare.check_ready(settings)
    return settings


Ready = Annotated[Settings, Depends(ready)]


def shown(figures: Any) -> Response:
    """Figures as JSON; dates and times as text."""
    return Response(json.dumps(figures, default=_plain), media_type="application/json")


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else str(value)


@app.get("/")
def page() -> FileResponse:
    """The page."""
    return FileResponse(STATIC / "index.html", media_type="text/html")


@app.get("/static/{name:path}")
def static(name: str) -> FileResponse:
    """A file of the page."""
    if name not in FILES:
        raise HTTPException(404, f"there is no file {name!r}")
    return FileResponse(STATIC / name, media_type=FILES[name], headers={"Cache-Control": "private, max-age=600"})


@app.get("/api/extent")
def extent(settings: Ready) -> Response:
    """Which nights there are."""
    return shown(read.extent(settings))


@app.get("/api/nights")
def nights(settings: Ready, first: date, last: date) -> Response:
    """The nights of a range, and their sums."""
    return shown(read.nights(first, last, settings))


@app.get("/api/nights/{dt}")
def night(settings: Ready, dt: date) -> Response:
    """A night."""
    return shown(read.night_report(dt, settings))


@app.get("/api/nights/{dt}/batches")
def batches(settings: Ready, dt: date) -> Response:
    """How full the models are through the batches of a night."""
    return shown(read.through_batches(dt, settings))


@app.get("/api/nights/{dt}/frontier")
def frontier(settings: Ready, dt: date) -> Response:
    """The night planned again at other budgets."""
    run_id = read.status(dt, settings)["run_id"]
    with _in_turn():
        return shown(_frontier(dt, run_id))


@app.get("/api/queries")
def query(
    settings: Ready, query_id: Annotated[str, Query(min_length=1, max_length=500)], dt: date | None = None
) -> Response:
    """Why a query got the model it got."""
    from routing_core.steps.why import explain

    with _in_turn():
        return shown(explain(query_id, settings, dt))


@app.get("/api/runs")
def run(
    settings: Ready,
    dag: Annotated[str, Query(max_length=250)],
    run: Annotated[str, Query(max_length=250)],
) -> Response:
    """The night that a DAG run is about."""
    return shown(read.night_of_key(f"{dag}/{run}", settings))


# Whatever else is asked, and however: behind the login like the rest, so that nothing tells what is here.
@app.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def nothing(request: Request, path: str) -> None:
    """Refuse."""
    if request.method == "GET":
        raise HTTPException(404, f"there is nothing at {path!r}")
    raise HTTPException(405, "the page only reads", headers={"Allow": "GET"})


@lru_cache(maxsize=32)
def _frontier(dt: date, run_id: int) -> dict[str, Any]:
    """Asked once of each run; a run's estimates do not change."""
    from routing_core.steps.what_if import what_if

    settings = load_settings()
    own = read.status(dt, settings)["budget_usd"]
    found = what_if(dt, settings, budgets=sorted({own * share for share in SHARES}))
    return {**found, "own_budget_usd": own, "asked_run_id": run_id}


@contextmanager
def _in_turn() -> Iterator[None]:
    """Let one question at a time plan a night again: it takes the memory and the processor of a solve."""
    if not _one_at_a_time.acquire(timeout=PATIENCE):
        raise HTTPException(503, "another question is still being worked out; ask again in a moment")
    try:
        yield
    finally:
        _one_at_a_time.release()
