"""Recipe for loading and serving the exported files: the text of `SERVE.md`."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.export.parity import Parity

_START = """# Loading and serving

`requirements.txt` has the versions with which these files were verified: `pip install -r requirements.txt`.
`signature.json` names the raw columns and describes the output; `input_example.json` holds a few rows of them.
In Python, rows are read like this for every format below:

```python
import json
import numpy as np

columns = json.load(open("signature.json"))["inputs"]
rows = json.load(open("input_example.json"))["instances"]
raw = {
    each["name"]: np.array([row[each["name"]] for row in rows], object if each["dtype"] == "string" else "float32")
    for each in columns
}
```
"""

# Braces are doubled, since `format` fills the texts. `tolist`, since Keras refuses NumPy arrays of strings.
_KERAS = """
```python
import keras
import tensorflow as tf

model = keras.models.load_model("{file}")
print(model({{name: tf.constant(values.tolist()) for name, values in raw.items()}}, training=False))
```
"""

_SAVED_MODEL = """
```python
import tensorflow as tf

loaded = tf.saved_model.load("{file}")
print(loaded.signatures["serving_default"](**{{name: tf.constant(values.tolist()) for name, values in raw.items()}}))
```

TF Serving takes the folder as version 1 of a model, and `input_example.json` as a request, with NaN in place of null:

```sh
docker run -p 8501:8501 -v "$PWD/{file}:/models/model/1" tensorflow/serving
curl -d @input_example.json http://localhost:8501/v1/models/model:predict
```
"""

_LITERT = """
```python
import tensorflow as tf

run = tf.lite.Interpreter("{file}").get_signature_runner()
print(run(**{given}))
```
"""

_ONNX = """
```python
import onnxruntime

session = onnxruntime.InferenceSession("{file}", providers=["CPUExecutionProvider"])
taken = [each.name for each in session.get_inputs()]
print(session.run(None, {{name: {given}[name] for name in taken}})[0])
```
"""

_OPENVINO = """
```python
import openvino

model = openvino.Core().compile_model("{file}/model.xml", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
taken = [each.any_name for each in model.inputs]
print(model({{name: {given}[name] for name in taken}})[0])
```
"""

_PREPARED = """
The file starts behind the preprocessing, which is in `{preprocessing_file}` and runs first:

```python
import keras
import tensorflow as tf

preprocessing = keras.models.load_model("{preprocessing_file}")
made = preprocessing({{name: tf.constant(values.tolist()) for name, values in raw.items()}}, training=False)
prepared = {{name: np.asarray(values) for name, values in made.items()}}
```
"""


_PREPARED_LITERT = """
The file starts behind the preprocessing, which is in `{preprocessing_file}` and runs first:

```python
import tensorflow as tf

prepared = tf.lite.Interpreter("{preprocessing_file}").get_signature_runner()(**raw)
```
"""


def render_serve_recipe(parities: Sequence[Parity]) -> str:
    """Return how to load each file; the programs in the text run in the folder of the files."""
    return _START + "".join(_render_section(parity) for parity in parities)


def _render_section(parity: Parity) -> str:
    before = _PREPARED_LITERT if parity.preprocessing_file.endswith(".tflite") else _PREPARED
    prepared = before.format(preprocessing_file=parity.preprocessing_file) if parity.preprocessing_file else ""
    given = "prepared" if parity.preprocessing_file else "raw"
    recipe = _choose_recipe(parity.format).format(file=parity.file, given=given)
    return f"\n## {parity.format}: `{parity.file}`\n{prepared}{recipe}"


def _choose_recipe(name: str) -> str:
    # All formats of a family are loaded alike.
    family = name.partition("_")[0]
    return {"keras": _KERAS, "saved": _SAVED_MODEL, "litert": _LITERT, "onnx": _ONNX, "openvino": _OPENVINO}[family]
