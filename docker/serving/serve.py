"""HTTP server of one exported model: `POST /predict` for rows of raw columns, `GET /healthz` for its health.

It reads the files of `kerastudy export --format saved_model` and uses nothing else of kerastudy. The columns of a row
come from the export's `signature.json`, and so does the OpenAPI document at `/docs`. Tokens and TLS are left to a proxy
in front.
"""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tensorflow as tf
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field, create_model

MAX_ROWS = 1000
_JSON_TYPES: Mapping[str, Any] = {
    "numeric": float | None,
    "boolean": bool | None,
    "string": str | None,
    "date": datetime | None,
    "array": list[Any],
    "image": list[Any],
}


def main() -> None:
    """Serve the model in the folder `MODEL` until SIGTERM; its environment variables are `MODEL`, `HOST` and `PORT`."""
    app = make_app(Path(os.environ.get("MODEL", "/model")))
    uvicorn.run(app, host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ.get("PORT", "8000")))


def make_app(folder: Path) -> FastAPI:
    """Return the application for an exported model.

    Args:
        folder: holds `signature.json` and `saved_model/`.
    """
    signature = json.loads((folder / "signature.json").read_text(encoding="utf-8"))
    inputs = signature["inputs"]
    loaded = tf.saved_model.load(str(folder / "saved_model"))
    predict_batch = loaded.signatures["serving_default"]
    request_model = make_request_model(inputs)
    app = FastAPI(title="A model exported by kerastudy")
    app.state.model = loaded  # its variables are freed with it, and the signature holds no reference

    @app.get("/healthz")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/predict")
    def predict(body: request_model) -> dict[str, list[dict[str, Any]]]:  # type: ignore[valid-type]
        tensors = {column["name"]: make_tensor(column, index, body.rows) for index, column in enumerate(inputs)}
        (outputs,) = predict_batch(**tensors).values()
        return {"predictions": [describe_prediction(output, signature) for output in np.asarray(outputs, dtype=float)]}

    return app


def make_request_model(inputs: Sequence[Mapping[str, Any]]) -> type[BaseModel]:
    """Return the model of a request's body: rows with a value for each column, under its name in the source."""
    fields: dict[str, Any] = {
        f"input_{index}": (_JSON_TYPES[column["kind"]], Field(alias=_get_name(column)))
        for index, column in enumerate(inputs)
    }
    row = create_model("Row", __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields)
    rows = Annotated[list[row], Field(min_length=1, max_length=MAX_ROWS)]  # type: ignore[valid-type]
    return create_model("PredictRequest", __config__=ConfigDict(extra="forbid"), rows=rows)


def make_tensor(column: Mapping[str, Any], index: int, rows: Sequence[Any]) -> tf.Tensor:
    """Return a column of all rows as a tensor: missing numbers are NaN, missing words the empty string.

    Raises:
        HTTPException: if an array or image is not of the model's shape.
    """
    values = [getattr(row, f"input_{index}") for row in rows]
    if column["dtype"] == "string":
        return tf.constant([value or "" for value in values])
    if column["kind"] == "date":
        values = [None if value is None else _count_days(value) for value in values]
    try:
        array = np.array([np.nan if value is None else value for value in values], dtype=np.float32)
    except (ValueError, TypeError):  # lists of unequal length, or values other than numbers
        array = None
    if array is None or array.shape != (len(values), *column["shape"]):
        raise HTTPException(422, f"{_get_name(column)}: expected numbers of shape {column['shape']} in each row")
    return tf.constant(array)


def describe_prediction(output: np.ndarray, signature: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's prediction by the names in the data: class and probabilities, or a value for each target."""
    classes = signature["output"]["classes"]
    if not classes:
        return dict(zip(signature["output"]["targets"], output.tolist(), strict=True))
    shares = [1.0 - output[0], output[0]] if signature["task"] == "binary" else output
    probabilities = dict(zip(classes, map(float, shares), strict=True))
    return {"class": classes[int(np.argmax(shares))], "probabilities": probabilities}


def _get_name(column: Mapping[str, Any]) -> str:
    return str(column["column"] or column["name"])


def _count_days(moment: datetime) -> float:
    """Return days since 1970-01-01 UTC; a moment without a zone is in UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() / 86_400


if __name__ == "__main__":
    main()
