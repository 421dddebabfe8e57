"""Preload of JAX and Keras for their fork server, so that each worker starts in under a second.

For the shipped families. Keras has wrappers for scikit-learn, galleries of images and adapters for tables of pandas,
KerasTuner an oracle that minimises: two seconds of one core to import, before a study's first trial. Sparse
tensors and attention on a TPU have stand-ins: a sixth of the rest.
"""

from __future__ import annotations

import sys

from pipelines.engines.preload.loading import load_jax
from tracking.imports.late_modules import LateDecorator, import_late

_SPARSE = "jax.experimental.sparse"  # with SciPy's sparse arrays and linear algebra
_ATTENTION = "jax.experimental.pallas.ops.tpu.splash_attention"

with import_late(_SPARSE, _ATTENTION):
    # Keras decorates functions with it.
    sys.modules[_SPARSE].sparsify = LateDecorator(_SPARSE, "sparsify")  # type: ignore[attr-defined]
    load_jax("sklearn", "matplotlib", "scipy.optimize", "pandas", "requests", "charset_normalizer")
