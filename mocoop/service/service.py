"""The service: POST a picture, get label, probabilities, experts and weights.

It needs the packages of `pip install "mocoop[serve]"`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fastapi import FastAPI, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from torch import Tensor

from mocoop import __version__
from mocoop.classifiers.answers import answer_of
from mocoop.classifiers.base import Classifier, Routed
from mocoop.classifiers.export import load_export
from mocoop.classifiers.saved import open_classifier, run_encoder
from mocoop.errors import UserError
from mocoop.features.encode import PICTURES_AT_ONCE, ImageEncoder
from mocoop.runs.run import Run
from mocoop.service.batcher import Batcher
from mocoop.service.gate import Gate, Limits
from mocoop.service.page import page
from mocoop.storage.images import open_image

MOST_DECODERS = 4  # a large picture takes much memory while it is decoded
NO_FILE = (
    "Send the picture as a form with one file called `file`, for example: curl -F "
    "file=@photo.jpg ADDRESS/predict"
)


class Answer(BaseModel):
    """What the classifier says about a picture."""

    label: str = Field(description="The most probable class.")
    probabilities: dict[str, float] = Field(description="Class → probability, largest first.")
    experts: dict[str, float] = Field(
        description="The chosen experts → weight, largest first. Methods without a mixture have "
        "one expert, `prompt`."
    )
    expert_scores: dict[str, float] = Field(description="Every expert → the router's score.")
    notes: list[str] = Field(description="What was changed to make the picture RGB.")


class Health(BaseModel):
    """What the service runs and how busy it is."""

    status: str = Field(description="`ok`.")
    model: str = Field(description="Name of the run or of the exported classifier.")
    classes: int = Field(description="Number of classes.")
    experts: int = Field(description="Number of experts.")
    answered: int = Field(description="Pictures answered since the start.")
    version: str = Field(description="Version of MoCoOp.")


class Problem(BaseModel):
    """Why there is no answer, and what to do."""

    error: str


@dataclass(frozen=True)
class Served:
    """What a service answers with."""

    name: str
    classifier: Classifier
    encoder: ImageEncoder
    white: float | None = None
    """The value that is white in pictures of more than 8 bits, as in the training; None to guess
    it for each picture alone."""

    @classmethod
    def opened(cls, path: Path, is_export: bool = False) -> Served:
        """Returns a finished run, or a classifier written by `mocoop export`.

        Args:
            path: the folder.
            is_export: whether it is an exported classifier.

        Raises:
            UserError: if it is neither, is damaged, or its CLIP has other weights by now.
        """
        if is_export:
            exported = load_export(path)
            white = exported.setup.white
            return cls(path.name, exported.classifier, exported.encoder(), white)
        run = Run(path)
        encoder = run_encoder(run)
        classifier = open_classifier(run, loaded=encoder.backbone)
        return cls(run.name, classifier, encoder, run.setup().white)

    @torch.inference_mode()
    def answers(self, inputs: Sequence[Tensor]) -> list[tuple[Routed, int]]:
        """Returns the results of transformed pictures (3, height, width), and which is whose."""
        routed = self.classifier.classify(self.encoder.batch(torch.stack(list(inputs))))
        return [(routed, index) for index in range(len(inputs))]


def make_service(
    served: Served, limits: Limits | None = None, largest_batch: int = PICTURES_AT_ONCE
) -> FastAPI:
    """Returns the service as an ASGI application.

    Args:
        served: the classifier and its encoder.
        limits: what the service takes at once.
        largest_batch: pictures that are encoded at once.
    """
    limits = limits or Limits()
    batcher: Batcher[Tensor, tuple[Routed, int]] = Batcher(served.answers, largest_batch)
    decoders = ThreadPoolExecutor(min(MOST_DECODERS, os.cpu_count() or 1), "decoder")
    answered = 0

    @asynccontextmanager
    async def lifetime(app: FastAPI) -> AsyncIterator[None]:
        yield
        decoders.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(batcher.close)

    service = FastAPI(
        title=f"MoCoOp: {served.name}",
        version=__version__,
        description="Classifies a picture and says which experts the router chose for it.",
        lifespan=lifetime,
        middleware=[Middleware(Gate, limits=limits)],
    )
    problems: dict[int | str, dict[str, Any]] = {
        code: {"model": Problem} for code in (400, 408, 413, 422, 503)
    }

    @service.post("/predict", responses=problems)
    async def predict(file: UploadFile) -> Answer:
        """Classifies one picture: JPEG, PNG, BMP, GIF, TIFF, WebP, HEIC or AVIF."""
        nonlocal answered
        content = await file.read()
        decoding = decoders.submit(_input_of, served, content)
        image, notes = await asyncio.wrap_future(decoding)
        routed, index = await asyncio.wrap_future(batcher.submit(image))
        answered += 1
        return Answer(**answer_of(routed, index, notes))

    @service.get("/health")
    async def health() -> Health:
        """Says that the service is ready, and what it runs."""
        classifier = served.classifier
        return Health(
            status="ok",
            model=served.name,
            classes=len(classifier.class_names),
            experts=len(classifier.experts),
            answered=answered,
            version=__version__,
        )

    @service.get("/classes")
    async def classes() -> list[str]:
        """Returns the names of the classes, in the order of their labels."""
        return list(served.classifier.class_names)

    @service.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def start(request: Request) -> str:
        names = served.classifier.class_names
        return page(served.name, names, limits, str(request.base_url))

    @service.exception_handler(UserError)
    async def not_a_picture(request: Request, error: UserError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 422)

    @service.exception_handler(RequestValidationError)
    async def not_a_form(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": NO_FILE}, 422)

    @service.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    return service


def _input_of(served: Served, content: bytes) -> tuple[Tensor, list[str]]:
    """Returns a picture as the encoder takes it, and what was changed to make it RGB.

    Raises:
        UserError: if the content is not an image that can be read.
    """
    image, notes = open_image(content, "the picture", white=served.white)
    return served.encoder.backbone.transform(image), notes
