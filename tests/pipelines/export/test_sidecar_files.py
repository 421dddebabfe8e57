"""Files beside an export are plain JSON, and requirements name what loads the files."""

from __future__ import annotations

import json

import numpy as np

from pipelines.export.parity import Parity
from pipelines.export.sidecar_files import EXAMPLE_FILE, list_requirements, write_example


def parity(name, preprocessing_file=""):
    return Parity(name, "file", 1, 0.0, 1.0, 1, preprocessing_file=preprocessing_file)


def test_gaps_are_null_in_the_example(tmp_path):
    """JSON has no NaN; a missing word is the empty string. Three rows are enough."""
    rows = {"age": np.array([1.5, np.nan, 3, 4], np.float32), "city": np.array(["Rome", "", "Oslo", "Bari"], object)}
    write_example(tmp_path, rows)
    assert json.loads((tmp_path / EXAMPLE_FILE).read_text()) == {
        "instances": [{"age": 1.5, "city": "Rome"}, {"age": None, "city": ""}, {"age": 3.0, "city": "Oslo"}]
    }


def test_a_runtime_alone_is_enough_without_preprocessing(tmp_path):
    """ONNX Runtime needs no TensorFlow, unless a Keras file goes before the network."""
    named = [
        [line.partition("==")[0] for line in list_requirements([each], tmp_path)]
        for each in (parity("onnx"), parity("onnx", "p"))
    ]
    assert named == [["numpy", "onnxruntime"], ["keras", "numpy", "onnxruntime", "tensorflow"]]
