"""A worker inside a FastAPI application: one process that answers requests and runs jobs, for small deployments.

    pip install fastapi uvicorn
    cd examples && uvicorn fastapi_app:app
    curl -X POST localhost:8000/reports/42; curl localhost:8000/reports/42; curl localhost:8000/health

With several server processes each has a worker. When requests and jobs shall not share an interpreter, leave the
lifespan out and run `pykiq run --require fastapi_app` beside the server: nothing else changes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException

import pykiq

built: dict[int, str] = {}


@pykiq.job("Reports::BuildJob", queue="reports", retry=3)
async def build(report_id: int) -> None:
    built[report_id] = f"report {report_id}, built by the job {pykiq.current_job().jid}"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    config = pykiq.configure(queues=("reports",), concurrency=5, timeout=10)
    async with pykiq.embed(config) as worker:
        app.state.worker = worker
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/reports/{report_id}", status_code=202)
async def order(report_id: int) -> dict[str, str | None]:
    return {"jid": await build.aperform_async(report_id)}


@app.get("/reports/{report_id}")
async def show(report_id: int) -> dict[str, str]:
    if report_id not in built:
        raise HTTPException(404, "not built yet")
    return {"report": built[report_id]}


@app.get("/health")
async def health() -> dict[str, str]:
    if not app.state.worker.is_running:
        raise HTTPException(503, "the worker has stopped")
    return {"worker": "running"}
