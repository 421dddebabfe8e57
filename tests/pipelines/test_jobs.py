"""Job functions: every constant names a function with the declared payload and result."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pipelines
from pipelines.engines.base import JobFunction

PACKAGE = Path(pipelines.__file__).parent
MODULES = sorted(".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in PACKAGE.rglob("jobs.py"))
CONSTANTS = [
    (module, name)
    for module in MODULES
    for name, value in vars(importlib.import_module(module)).items()
    if isinstance(value, JobFunction)
]


def test_every_room_with_jobs_is_found():
    """The search for constants does not come out empty."""
    assert {module.split(".")[1] for module in MODULES} >= {"data", "training", "export", "selection", "operations"}
    assert len(CONSTANTS) >= 16


@pytest.mark.parametrize(("module", "name"), CONSTANTS)
def test_a_job_function_has_the_declared_types(module, name):
    """Its first parameter and its result are annotated as the constant is; a worker calls it with these."""
    constants = importlib.import_module(module)
    function = getattr(constants, name).load()
    payload, *_ = inspect.signature(function).parameters.values()
    declared = f"JobFunction[{payload.annotation}, {inspect.signature(function).return_annotation}]"
    assert constants.__annotations__[name] == declared
    inspect.signature(function).bind("payload", "channel")


def test_job_functions_are_named_in_job_modules_only():
    """A path in any other module would not be checked against its types."""
    path = re.compile(r'"pipelines\.[\w.]+:\w+"')
    named = {str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py") if path.search(file.read_text())}
    assert {Path(each).name for each in named} == {"jobs.py"}


@pytest.mark.slow
def test_job_modules_load_no_framework():
    """A supervisor imports them all without Keras, TensorFlow or JAX."""
    code = f"import sys, {', '.join(MODULES)}; print({{'keras', 'tensorflow', 'jax'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
