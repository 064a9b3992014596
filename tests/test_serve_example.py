"""`examples/serve.py` answers over HTTP what the run predicts."""

from __future__ import annotations

import io
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import levelfield as lf
from needed import need

need("fastapi", "python_multipart")

FILE = Path(__file__).parents[1] / "examples" / "serve.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("serve") / "run"
    lf.train(model="resnet_nano", data="digits", epochs=1, image_size=16, out=place, device="cpu", loggers=())
    return place


@pytest.fixture
def client(run: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from fastapi.testclient import TestClient

    monkeypatch.setenv("RUN", str(run))
    return TestClient(runpy.run_path(str(FILE))["app"])


def png(height: int, width: int) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_an_image_file_is_answered_with_what_the_run_predicts(run: Path, client: Any) -> None:
    loaded, image = lf.load_run(run), png(21, 34)
    answer = client.post("/predict", params={"top": 3}, files={"image": ("a.png", image)})
    assert answer.status_code == 200, answer.text
    wanted = loaded.predict([image]).top(3)[0]
    assert answer.json()["run"] == loaded.folder.identity
    assert [(each["class"], each["probability"]) for each in answer.json()["top"]] == wanted


def test_what_is_no_image_is_refused_with_the_reason_and_the_server_goes_on(client: Any) -> None:
    refused = client.post("/predict", files={"image": ("a.png", b"no image")})
    assert refused.status_code == 422 and "image" in refused.json()["detail"]
    assert client.post("/predict", files={"image": ("a.png", png(8, 8))}).status_code == 200
    none = client.post("/predict", params={"top": -1}, files={"image": ("a.png", png(8, 8))})
    assert none.status_code == 422
