"""Recipe for loading and serving the exported files: the text of `SERVE.md`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pipelines.data.examples.structures import Structure
from pipelines.export.parity import Parity

_START = """# Loading and serving

`requirements.txt` has the versions with which these files were verified: `pip install -r requirements.txt`.
`signature.json` names the raw inputs and describes the outputs; `input_example.json` holds a few rows of them.
In Python, rows are read like this for every format below:

```python
import json
import numpy as np

columns = json.load(open("signature.json"))["inputs"]
rows = json.load(open("input_example.json"))["instances"]
raw = {
    each["name"]: np.array([row[each["name"]] for row in rows], object if each["dtype"] == "string" else each["dtype"])
    for each in columns
}
```
"""

# Braces are doubled, since `format` fills the texts. `tolist`, since TensorFlow takes no NumPy arrays of strings.
_TENSORS = """
tensors = {{
    name: tf.constant(values.tolist() if values.dtype == object else values) for name, values in raw.items()
}}
"""

_KERAS = f"""
```python
import keras
import tensorflow as tf

model = keras.models.load_model("{{file}}")
{_TENSORS.strip()}
print(model({{takes}}, training=False))
```
"""

_KERAS_WITH_CODE = f"""
The model needs its code, which is in the folder; its loader runs it:

```python
import runpy

import tensorflow as tf

model = runpy.run_path("{{file}}/load_model.py")["load_model"]("{{file}}")
{_TENSORS.strip()}
print(model({{takes}}, training=False))
```
"""

_SAVED_MODEL = f"""
```python
import tensorflow as tf

loaded = tf.saved_model.load("{{file}}")
{_TENSORS.strip()}
print(loaded.signatures["serving_default"](**tensors))
```

TF Serving takes the folder as version 1 of a model, and `input_example.json` as a request, with NaN in place of null:

```sh
docker run -p 8501:8501 -v "$PWD/{{file}}:/models/model/1" tensorflow/serving
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

_LITERT_BY_ROW = """
```python
import tensorflow as tf

run = tf.lite.Interpreter("{file}").get_signature_runner()
for row in range(len(next(iter({given}.values())))):
    print(run(**{{name: values[row : row + 1] for name, values in {given}.items()}}))
```
"""

_ONNX = """
```python
import onnxruntime

session = onnxruntime.InferenceSession("{file}", providers=["CPUExecutionProvider"])
taken = [each.name for each in session.get_inputs()]
print(session.run(None, {{name: {given}[name] for name in taken}}))
```
"""

_OPENVINO = """
```python
import openvino

model = openvino.Core().compile_model("{file}/model.xml", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
taken = [each.any_name for each in model.inputs]
print(model({{name: {given}[name] for name in taken}}))
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


def render_serve_recipe(parities: Sequence[Parity], takes: Structure = None) -> str:
    """Return how to load each file; the programs in the text run in the folder of the files.

    Args:
        parities: the files.
        takes: the structure of a Keras model's input, with names of raw inputs for leaves; None for a dict by name.
    """
    return _START + "".join(_render_section(parity, takes) for parity in parities)


def _render_section(parity: Parity, takes: Structure) -> str:
    before = _PREPARED_LITERT if parity.preprocessing_file.endswith(".tflite") else _PREPARED
    prepared = before.format(preprocessing_file=parity.preprocessing_file) if parity.preprocessing_file else ""
    given = "prepared" if parity.preprocessing_file else "raw"
    arranged = "tensors" if takes is None else _render_structure(takes)
    recipe = _choose_recipe(parity).format(file=parity.file, given=given, takes=arranged)
    return f"\n## {parity.format}: `{parity.file}`\n{prepared}{recipe}"


def _render_structure(takes: Structure) -> str:
    """Return the expression that arranges tensors by name as a model takes them.

    >>> _render_structure({"left": "a", "right": ["b"]})
    '{"left": tensors["a"], "right": [tensors["b"]]}'
    """
    if isinstance(takes, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)}: {_render_structure(each)}" for key, each in takes.items()) + "}"
    if isinstance(takes, list | tuple):
        return "[" + ", ".join(_render_structure(each) for each in takes) + "]"
    return f'tensors["{takes}"]'


def _choose_recipe(parity: Parity) -> str:
    # All formats of a family are loaded alike.
    family = parity.format.partition("_")[0]
    if family == "keras":
        return _KERAS if parity.file.endswith(".keras") else _KERAS_WITH_CODE
    if family == "litert" and parity.rows_at_once == 1:
        return _LITERT_BY_ROW
    return {"saved": _SAVED_MODEL, "litert": _LITERT, "onnx": _ONNX, "openvino": _OPENVINO}[family]
