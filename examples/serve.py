"""A finished run behind HTTP: an image file in, the likeliest classes out, preprocessed as the run's test images were.

Start it, and ask it:

    pip install levelfield "fastapi[standard]"
    RUN=runs/first fastapi run examples/serve.py
    curl -F image=@bird.jpg "http://127.0.0.1:8000/predict?top=3"
"""

import os
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, UploadFile

import levelfield as lf

run = lf.load_run(os.environ.get("RUN", "runs/first"))
app = FastAPI(title=f"{run.spec.model.name} on {run.spec.data.name}")


@app.post("/predict")
async def predict(image: UploadFile, top: Annotated[int, Query(ge=1)] = 5) -> dict[str, Any]:
    # async: one image at a time has the cores
    found = run.predict([await image.read()])
    if found.bad:
        raise HTTPException(422, found.bad[0][1])
    return {"run": run.folder.identity, "top": [{"class": name, "probability": p} for name, p in found.top(top)[0]]}
