"""What is in `docker/` fits the code: commands parse, settings exist, secrets are files, nothing runs as root."""

from __future__ import annotations

import configparser
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import click
import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from ruamel.yaml import YAML

from pipelines import cli
from pipelines.service.config import read_config

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
COMPOSE: Mapping[str, Any] = YAML(typ="safe").load(DOCKER / "compose.yaml")
SERVICES: Mapping[str, Mapping[str, Any]] = COMPOSE["services"]
DOCKERFILES = sorted(DOCKER.rglob("Dockerfile"))
# What other programs than ours read.
FOREIGN_SETTINGS = {
    "GIT_PYTHON_REFRESH",
    "HOME",
    "HOST",
    "MODEL",
    "PATH",
    "PGPASSFILE",
    "PORT",
    "POSTGRES_PASSWORD_FILE",
}
FOREIGN_SETTINGS |= {"PYTHONUNBUFFERED", "XDG_CONFIG_HOME", "XDG_DATA_HOME"}
FOREIGN_SETTINGS |= {f"GF_{name}" for name in ("ANALYTICS_CHECK_FOR_UPDATES", "ANALYTICS_REPORTING_ENABLED")}
FOREIGN_SETTINGS |= {"GF_SECURITY_ADMIN_PASSWORD__FILE"}
# `kerastudy token create` makes it.
MADE_LATER = {"metrics_token"}


def _unit() -> configparser.RawConfigParser:
    unit = configparser.RawConfigParser(strict=False, delimiters="=", comment_prefixes="#")
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DOCKER / "kerastudy.service", encoding="utf-8")
    return unit


def _commands() -> dict[str, list[str]]:
    """Return every command that starts something of ours, by where it stands."""
    ours = {name: spec for name, spec in SERVICES.items() if name in ("kerastudy", "mlflow")}
    found = {f"compose.yaml: {name}": spec["command"] for name, spec in ours.items()}
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    entry, command = (
        json.loads(re.findall(rf"^{word} (\[.*\])$", text, re.MULTILINE)[-1]) for word in ("ENTRYPOINT", "CMD")
    )
    found["Dockerfile"] = entry + command
    program, *arguments = shlex.split(_unit()["Service"]["ExecStart"])
    found["kerastudy.service"] = [Path(program).name, *arguments]
    return found


@pytest.mark.parametrize("command", [pytest.param(line, id=place) for place, line in _commands().items()])
def test_commands_are_understood(command: list[str]) -> None:
    """Every command parses with the command line that it names."""
    program, verb, *arguments = command
    if (
        program == "mlflow"
    ):  # in a process of its own, since it takes long to be imported, and warns; all is parsed first
        command = [sys.executable, "-m", "mlflow", verb, *arguments, "--help"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return
    assert program == "kerastudy"
    found = cli.commands.commands[verb]
    with click.Context(found, info_name=verb) as context:
        found.parse_args(context, list(arguments))


def test_settings_exist() -> None:
    """Every environment variable that is set is one that somebody reads."""
    import mlflow.environment_variables

    ours = {
        name
        for file in (ROOT / "pipelines").rglob("*.py")
        for name in re.findall(r"KERASTUDY_[A-Z_]+", file.read_text())
    }
    mlflows = {name for name in dir(mlflow.environment_variables) if name.startswith("MLFLOW_")}
    known = ours | mlflows | FOREIGN_SETTINGS | {"KERASTUDY_HOST"}  # read by the Caddyfile
    given = {name for spec in SERVICES.values() for name in spec["environment"]}
    for file in DOCKERFILES:
        (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
        given |= set(re.findall(r"(\w+)=", block))
    given |= set(re.findall(r"(\w+)=", _unit()["Service"]["Environment"]))
    assert given - known == set()
    assert {"KERASTUDY_STORE", "KERASTUDY_HOME", "MLFLOW_TRACKING_URI"} <= given


def test_passwords_are_files() -> None:
    """No password stands in an environment or an address; each is a file, which make_secrets.sh makes."""
    made = re.search(r"for name in (.*); do", (DOCKER / "make_secrets.sh").read_text(encoding="utf-8"))
    assert made is not None
    assert {name: f"./secrets/{name}" for name in made[1].split()} == {
        name: spec["file"] for name, spec in COMPOSE["secrets"].items() if name not in MADE_LATER
    }
    for spec in SERVICES.values():
        settings = [value for name, value in spec["environment"].items() if not name.endswith("_FILE")]
        settings += [str(word) for word in spec.get("command", ())]
        assert not any(re.search(r"://[^/@]*:[^/@]*@|password", value) for value in settings)
        for secret in spec.get("secrets", ()):
            assert (secret if isinstance(secret, str) else secret["source"]) in COMPOSE["secrets"]


def test_nothing_runs_as_root() -> None:
    """Every image ends as a user without rights, and a container has no capability and cannot write its root."""
    for file in DOCKERFILES:
        users = re.findall(r"^USER (\S+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert users, file
        assert users[-1] not in ("root", "0"), file
    for name, spec in SERVICES.items():
        assert spec["cap_drop"] == ["ALL"], name
        assert spec["read_only"] is True, name
        assert spec["security_opt"] == ["no-new-privileges:true"], name
        assert "build" in spec or spec["user"].partition(":")[0] not in ("root", "0"), name
    unit = _unit()["Service"]
    assert unit["User"] != "root"
    assert unit["CapabilityBoundingSet"] == ""


def test_images_are_named_with_their_version() -> None:
    """No image is the latest one, and what is installed into ours is locked with hashes."""
    bases = [
        name for file in DOCKERFILES for name in re.findall(r"^ARG BASE_IMAGE=(\S+)$", file.read_text(), re.MULTILINE)
    ]
    assert len(bases) == len(DOCKERFILES)
    for name in [*bases, *(spec["image"] for spec in SERVICES.values())]:
        assert re.search(r":v?\d", name), name
    for file in DOCKERFILES:
        installs = re.findall(r"pip install .*", file.read_text(encoding="utf-8"))
        assert all("--require-hashes" in line or "--no-deps" in line for line in installs), file


def test_ports_are_published_to_this_machine_alone() -> None:
    """A container's port is reached from elsewhere only through what stands in front; the database's not at all."""
    published = {name: spec.get("ports", []) for name, spec in SERVICES.items()}
    assert published["database"] == []
    assert published["mlflow"] == published["prometheus"] == []
    # Caddy's alone are public: it answers with TLS, and redirects to it.
    assert [port.partition(":")[0] for port in published.pop("caddy")] == ["80", "443"]
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_there_is_time_to_stop() -> None:
    """Whoever ends the service waits longer than it gives its studies to be put back."""
    from pipelines.service.supervisors.supervisor_pool import _GRACE_S

    for given in (SERVICES["kerastudy"]["stop_grace_period"], _unit()["Service"]["TimeoutStopSec"]):
        assert float(given.removesuffix("s")) >= _GRACE_S + 20


def test_the_services_file_is_understood(tmp_path: Path) -> None:
    """service.yaml of the compose file has only keys of the service."""
    file = tmp_path / "service.yaml"
    text = (DOCKER / "service.yaml").read_text(encoding="utf-8")
    file.write_text(text.replace("[/data]", f"[{tmp_path}]"), encoding="utf-8")
    spec = read_config(file, tmp_path)
    assert (spec.host, spec.tls_in_front) == ("0.0.0.0", True)
    mounted = [entry.split(":")[1 if "${" not in entry else -2] for entry in SERVICES["kerastudy"]["volumes"]]
    assert set(YAML(typ="safe").load(text)["data"]) <= set(mounted)


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """make_secrets.sh makes passwords that only its owner can come by, and leaves those that are there."""
    folder = tmp_path / "secrets"
    first, kept = (_made_secrets(folder) for _ in range(2))
    assert first == kept
    assert all(re.fullmatch(r"[0-9a-f]{48}", password) for password in kept.values())
    assert folder.stat().st_mode & 0o077 == 0


def _made_secrets(folder: Path) -> dict[str, str]:
    subprocess.run([DOCKER / "make_secrets.sh", folder], check=True, capture_output=True)
    return {file.name: file.read_text() for file in folder.iterdir()}


SIGNATURE = {
    "inputs": [
        {"name": "size_m2", "kind": "numeric", "shape": [], "dtype": "float32", "column": "size m2"},
        {"name": "owned", "kind": "boolean", "shape": [], "dtype": "float32", "column": "owned"},
        {"name": "town", "kind": "string", "shape": [], "dtype": "string", "column": "town"},
        {"name": "day", "kind": "date", "shape": [], "dtype": "float32", "column": "day"},
        {"name": "scan", "kind": "image", "shape": [2, 1], "dtype": "float32", "column": ""},
    ],
    "task": "binary",
    "output": {"shape": [1], "classes": ["no", "yes"], "targets": ["sold"]},
}
ROW = {"size m2": 12, "owned": True, "town": "Bonn", "day": "1970-01-02", "scan": [[1], [2]]}


@pytest.fixture(scope="module")
def model_server(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """A server of a model that predicts the sum of the numbers in a row."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("exported")
    (folder / "signature.json").write_text(json.dumps(SIGNATURE), encoding="utf-8")
    specs = {
        each["name"]: tf.TensorSpec([None, *each["shape"]], each["dtype"], each["name"]) for each in SIGNATURE["inputs"]
    }

    class Model(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = tf.Variable(0.01)

        @tf.function
        def __call__(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
            sizes = [tf.where(tf.math.is_nan(raw[name]), 0.0, raw[name]) for name in ("size_m2", "owned", "day")]
            scan = tf.reduce_sum(raw["scan"], axis=[1, 2])
            words = tf.cast(tf.strings.length(raw["town"]), tf.float32)
            return {"output": (tf.add_n([*sizes, scan, words]) * self.weight)[:, None]}

    model = Model()
    tf.saved_model.save(model, str(folder / "saved_model"), signatures=model.__call__.get_concrete_function(**specs))
    return _serve().make_app(folder)


def test_a_served_model_takes_raw_columns(model_server: FastAPI) -> None:
    """A row is given under its columns' names, with words, dates and missing values as JSON has them."""
    empty = {**ROW, "size m2": None, "owned": None, "town": None, "day": None}
    answer = _predict(model_server, [ROW, empty])
    assert answer.status_code == 200, answer.text
    yes = [each["probabilities"]["yes"] for each in answer.json()["predictions"]]
    assert yes == pytest.approx([0.01 * (12 + 1 + 4 + 1 + 3), 0.03], abs=1e-6)
    assert [each["class"] for each in answer.json()["predictions"]] == ["no", "no"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"size m2": "large"}, "size m2"),
        ({"scan": [[1], [2], [3]]}, "scan"),
        ({"scan": [["a"], [2]]}, "scan"),
        ({"day": "yesterday"}, "day"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_served_model_refuses_by_name(model_server: FastAPI, change: dict[str, Any], named: str) -> None:
    """A value that the model cannot take is refused, and its column is named."""
    answer = _predict(model_server, [{**ROW, **change}])
    assert answer.status_code == 422
    assert named in answer.text


def test_predictions_have_the_names_of_the_data() -> None:
    """Classes come with their names and probabilities, regressions with their targets."""
    describe = _serve().describe_prediction
    classes = {"task": "multiclass", "output": {"classes": ["a", "b", "c"], "targets": ["t"]}}
    assert describe(np.array([0.1, 0.2, 0.7]), classes)["class"] == "c"
    targets = {"task": "regression", "output": {"classes": [], "targets": ["u", "v"]}}
    assert describe(np.array([1.5, 2.0]), targets) == {"u": 1.5, "v": 2.0}


def _predict(app: FastAPI, rows: list[dict[str, Any]]) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            return await client.post("/predict", json={"rows": rows})

    return anyio.run(send)


def _serve() -> ModuleType:
    spec = importlib.util.spec_from_file_location("serve", DOCKER / "serving/serve.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["serve"] = module
    spec.loader.exec_module(module)
    return module
