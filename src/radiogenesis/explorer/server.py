"""`radiogenesis explore RUN --serve`: the explorer's page with torch on this machine as its drawing engine.

For what a browser cannot do: a scan of one's own as background, and large images without WebGPU. It listens on
127.0.0.1 alone and answers nobody who does not know the token of this one start, which is in the address that is
printed (`guard`). What is sent is limited in size; one drawing is made at a time, and few wait. Nothing is written but
the files of a scan while it is cut.
"""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal, TypeVar

import anyio
import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp

from radiogenesis.backends.graph import Drawer
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import RadiogenesisError, SettingError
from radiogenesis.explorer.content import Content
from radiogenesis.explorer.guard import Guard
from radiogenesis.explorer.own_scans import OwnBackgrounds, cut_backgrounds
from radiogenesis.explorer.page import html_of, policy
from radiogenesis.methods.fusion_gan import FusionGAN
from radiogenesis.methods.images import images_from_hu
from radiogenesis.methods.noise import Noise
from radiogenesis.methods.protocols import DrawingEngine

HOST = "127.0.0.1"
MOST_DRAWINGS = 8
"""Of one request; a page shows three."""
MOST_WAITING = 4
"""Requests for drawings, that which is being drawn included."""
MOST_FILES = 5000

Made = TypeVar("Made")


class Wanted(BaseModel):
    """A drawing that a page asks for."""

    model_config = ConfigDict(extra="forbid")
    background: int = Field(ge=0)
    noise: int = Field(ge=0)
    code: list[float] = Field(max_length=4096)


class Batch(BaseModel):
    """What a page asks for at once, of the run or of the one with shuffled genes."""

    model_config = ConfigDict(extra="forbid")
    which: Literal["own", "shuffled"]
    drawings: list[Wanted] = Field(min_length=1, max_length=MOST_DRAWINGS)


class Studio:
    """What is drawn from: the generators, and the backgrounds of the page and of the scan that was sent last.

    Args:
        content: of the page.
        methods: own, and shuffled where there is such a run, on the backend that is to draw.
    """

    def __init__(self, content: Content, methods: Mapping[str, FusionGAN]) -> None:
        self.content, self._given = content, content
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._drawers: dict[str, DrawingEngine] = {
            name: method.engine or Drawer(method).eval().to(self._device) for name, method in methods.items()
        }

    def take(self, own: OwnBackgrounds) -> dict[str, Any]:
        """Put the backgrounds of a scan behind the page's, in place of those of an earlier scan."""
        first, given = len(self._given.backgrounds), self._given
        names = tuple(f"own scan, {number}" for number in range(1, 1 + len(own.image)))
        self.content = replace(
            given, backgrounds=np.concatenate([given.backgrounds, own.image]),
            background_names=(*given.background_names, *names),
        )  # fmt: skip
        return {"names": self.content.background_names, "first": first, "said": own.said}

    def draw(self, batch: Batch) -> bytes:
        """Image, mask and weight map of every drawing, as float32 (3, N, P, P), little endian.

        Raises:
            SettingError: a background, noise or run that is not there; a code of another length.
        """
        drawer, content, wanted = self._drawers.get(batch.which), self.content, batch.drawings
        if drawer is None:
            raise SettingError("there is no run with shuffled genes", remedy="give --null_run")
        if max(one.background for one in wanted) >= len(content.backgrounds):
            raise SettingError("that background is no longer there", remedy="load the page again")
        if max(one.noise for one in wanted) >= len(content.noise):
            raise SettingError(f"there are {len(content.noise)} noises")
        shuffled = content.shuffled if batch.which == "shuffled" else None
        length = (shuffled or content).patients.shape[1]
        if any(len(one.code) != length for one in wanted):
            raise SettingError(f"a gene code of this run has {length} numbers")
        code = np.array([one.code for one in wanted], np.float32)
        if not np.isfinite(code).all():
            raise SettingError("a gene code holds what is no number")
        backgrounds = content.backgrounds[[one.background for one in wanted]].astype(np.float32)
        noise = self._noise(content.noise[[one.noise for one in wanted]])
        with torch.inference_mode():
            drawn = drawer(
                images_from_hu(backgrounds).to(self._device), torch.from_numpy(code).to(self._device), noise.vector,
                *noise.maps,
            )  # fmt: skip
        return torch.cat(drawn, dim=1).transpose(0, 1).cpu().numpy().astype("<f4").tobytes()

    def _noise(self, rows: NDArray[np.float32]) -> Noise:
        sizes = [self.content.vector, *(side * side for side in self.content.sides)]
        vector, *flat = torch.from_numpy(rows).to(self._device).split(sizes, dim=1)
        maps = [part.reshape(-1, 1, side, side) for part, side in zip(flat, self.content.sides, strict=True)]
        return Noise(vector, maps)


class OneAtATime:
    """Work in a thread, one after the other; what comes while `most` are there is refused."""

    def __init__(self, most: int) -> None:
        self._most, self._there, self._lock = most, 0, anyio.Lock()

    async def __call__(self, work: Callable[..., Made], *given: Any) -> Made:
        """Raises HTTPException (503) where too many wait."""
        if self._there >= self._most:
            raise HTTPException(503, "busy with other requests; try again in a moment")
        self._there += 1
        try:
            async with self._lock:
                return await run_in_threadpool(work, *given)
        finally:
            self._there -= 1


def application(
    content: Content, methods: Mapping[str, FusionGAN], cohort: Cohort, *, token: str, port: int, upload_bytes: int
) -> ASGIApp:
    """What is served: the page, drawings for it, and backgrounds of a scan that is sent.

    Args:
        content: of the page, without generators.
        methods: own, and shuffled where there is such a run.
        cohort: the run's: a scan is cut with its settings.
        token: who knows it is answered.
        port: that it is reached by.
        upload_bytes: of a scan.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    studio, drawing, reading = Studio(content, methods), OneAtATime(MOST_WAITING), OneAtATime(1)

    @app.get("/")
    async def page() -> Response:
        html = await run_in_threadpool(lambda: html_of(studio.content, served=True))
        return HTMLResponse(html, headers={"content-security-policy": f"{policy(served=True)}; frame-ancestors 'none'"})

    @app.post("/draw")
    async def draw(batch: Batch) -> Response:
        return Response(await drawing(studio.draw, batch), media_type="application/octet-stream")

    @app.post("/scan")
    async def scan(request: Request) -> dict[str, Any]:
        async with request.form(max_files=MOST_FILES, max_fields=1) as form:
            files = [(one.filename or "", one.file) for one in form.getlist("files") if isinstance(one, UploadFile)]
            if not files:
                raise HTTPException(400, "no file was sent")
            return studio.take(await reading(cut_backgrounds, files, cohort))

    @app.exception_handler(RadiogenesisError)
    async def told(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, 400)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse({"error": error.detail}, error.status_code)

    @app.exception_handler(RequestValidationError)
    async def wrong(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return JSONResponse({"error": f"{'.'.join(map(str, first['loc']))}: {first['msg']}"}, 422)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": f"this failed ({type(error).__name__}); the terminal says more"}, 500)

    hosts = frozenset(f"{name}:{port}" for name in (HOST, "localhost"))
    return Guard(app, hosts=hosts, token=token, limits={"/scan": upload_bytes})


def serve(
    content: Content, methods: Mapping[str, FusionGAN], cohort: Cohort, *, port: int, upload_mb: int,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Serve until somebody presses Ctrl+C.

    Args:
        content, methods, cohort: see `application`.
        port: 0 takes a free one.
        upload_mb: the most that a scan may have.
        say: is told the address when it can be opened.

    Raises:
        SettingError: the port is taken or not allowed.
    """
    token = secrets.token_urlsafe(32)
    with _listening(port) as listening:
        port = listening.getsockname()[1]
        app = application(content, methods, cohort, token=token, port=port, upload_bytes=upload_mb * 2**20)
        server = uvicorn.Server(
            uvicorn.Config(
                app, log_level="warning", access_log=False, server_header=False, lifespan="off", ws="none",
                proxy_headers=False, limit_concurrency=32, timeout_graceful_shutdown=3,
            )
        )  # fmt: skip
        say(f"http://{HOST}:{port}/?token={token}")
        with suppress(KeyboardInterrupt):  # how it is ended
            server.run(sockets=[listening])


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        raise SettingError(
            f"port {port} of {HOST} {'is taken' if taken else f'cannot be opened ({error})'}",
            remedy="give another --port; 0 takes a free one",
        ) from error
