"""Kubernetes manifests: they meet the schemas of Kubernetes and KubeRay, and what they name exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import jsonschema
import kubernetes_validate
import pytest
from packaging.version import Version
from ruamel.yaml import YAML

from pipelines import cli
from pipelines.service.config import ServiceSpec

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docker/kubernetes"
KUBERAY = json.loads((Path(__file__).parent / "support/kuberay_schema.json").read_text(encoding="utf-8"))
KUBERNETES = ("1.29", "1.32", "1.34")
MANIFESTS = sorted(
    file for file in FOLDER.rglob("*.yaml") if file.name not in ("kustomization.yaml", "images.yaml", "settings.yaml")
)
PATCHES = [FOLDER / "ray/supervisors.yaml"]
Manifest = Mapping[str, Any]


def load(file: Path) -> list[Manifest]:
    return [each for each in YAML(typ="safe").load_all(file) if each]


def manifests(*, ray: bool = True) -> list[Manifest]:
    files = [file for file in MANIFESTS if file not in PATCHES and (ray or "ray" not in file.parts)]
    return [each for file in files for each in load(file)]


def pod_specs() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the spec of each pod, by the name of what makes it."""
    for each in manifests():
        spec = each.get("spec", {})
        name = f"{each['kind']} {each['metadata']['name']}"
        if each["kind"] in ("Deployment", "StatefulSet"):
            yield name, spec["template"]["spec"]
        cluster = spec.get("rayClusterSpec", spec) if each["kind"].startswith("Ray") else None
        if cluster:
            yield f"{name}: head", cluster["headGroupSpec"]["template"]["spec"]
            for group in cluster["workerGroupSpecs"]:
                yield f"{name}: {group['groupName']}", group["template"]["spec"]
        if "submitterPodTemplate" in spec:
            yield f"{name}: submitter", spec["submitterPodTemplate"]["spec"]


PODS = dict(pod_specs())


def containers(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def check_schema(manifest: Manifest, version: str) -> None:
    """Check a manifest against the schemas; raises where a field is unknown or has another type."""
    if not manifest["kind"].startswith("Ray"):
        kubernetes_validate.validate(dict(manifest), version, strict=True)
        return
    schema = KUBERAY[manifest["kind"]]
    jsonschema.Draft7Validator(schema).validate(manifest["spec"])
    for template in _find_templates(schema, manifest["spec"]):
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": template}
        kubernetes_validate.validate(pod, version, strict=True)


def _find_templates(schema: Mapping[str, Any], value: Any) -> Iterator[Mapping[str, Any]]:
    if schema.get("podTemplate"):
        yield value
    for name, inner in schema.get("properties", {}).items():
        if isinstance(value, Mapping) and name in value:
            yield from _find_templates(inner, value[name])
    if isinstance(value, list):
        for each in value:
            yield from _find_templates(schema["items"], each)


@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_meet_the_schemas(version):
    """Of Kubernetes in several versions, and of KubeRay's kinds; unknown fields are errors."""
    for each in manifests():
        check_schema(each, version)


def test_a_wrong_field_is_found():
    """The check knows pods inside of KubeRay's kinds, and KubeRay's own fields."""
    (cluster,) = (each for each in manifests() if each["kind"] == "RayCluster")
    for change in ({"rayVersions": "2"}, {"headGroupSpec": {"template": {"spec": {"containers": [{"nam": "x"}]}}}}):
        wrong = {**cluster, "spec": {**cluster["spec"], **change}}
        with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
            check_schema(wrong, KUBERNETES[0])


@pytest.mark.parametrize("folder", ["base", "ray"])
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl, which has kustomize in it")
def test_kustomizations_are_rendered(folder):
    """What `kubectl apply -k` would send meets the schemas, with images, config maps and patches in place."""
    done = subprocess.run(["kubectl", "kustomize", FOLDER / folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rendered = [*YAML(typ="safe").load_all(done.stdout)]
    for each in rendered:
        check_schema(each, KUBERNETES[-1])
    text = json.dumps(rendered)
    assert set(re.findall(r'"image": "(kerastudy[^"]*)"', text)) == {
        "kerastudy-ray:0.1.0" if folder == "ray" else "kerastudy:0.1.0"
    }
    assert '"name": "kerastudy-environment"' not in text  # each has the suffix of its content
    (hosts,) = (each for each in rendered if (each["kind"], each["metadata"]["name"]) == ("Deployment", "supervisors"))
    (container,) = hosts["spec"]["template"]["spec"]["containers"]
    assert ("ray start" in " ".join(container["command"])) == (folder == "ray")
    assert {each["name"] for each in container["volumeMounts"]} >= {"home", "run", "settings", "tmp"}


@pytest.mark.parametrize("name", PODS)
def test_nothing_has_rights_that_it_does_not_need(name):
    """Every pod meets the standard `restricted`: no root, no capability, no root file system to write, no account."""
    pod = PODS[name]
    user = pod["securityContext"]
    assert user["runAsNonRoot"] is True
    assert user["runAsUser"] > 0
    assert user["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in containers(pod):
        rights = container["securityContext"]
        assert rights == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"], container["name"]
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), container["name"]


@pytest.mark.parametrize("name", PODS)
def test_what_a_pod_mounts_exists(name):
    """Volumes, claims, config maps and keys of secrets are there, each mounted somewhere."""
    pod = PODS[name]
    claims = {each["metadata"]["name"] for each in manifests() if each["kind"] == "PersistentVolumeClaim"}
    claims |= {
        claim["metadata"]["name"]
        for each in manifests()
        for claim in each.get("spec", {}).get("volumeClaimTemplates", ())
    }
    mounted = {mount["name"] for container in containers(pod) for mount in container.get("volumeMounts", ())}
    templates = {"data"} if name == "StatefulSet database" else set()
    assert mounted == {volume["name"] for volume in pod.get("volumes", ())} | templates
    secrets = re.search(r"for name in (.*); do", (ROOT / "docker/make_secrets.sh").read_text(encoding="utf-8"))
    assert secrets
    for volume in pod.get("volumes", ()):
        if "persistentVolumeClaim" in volume:
            assert volume["persistentVolumeClaim"]["claimName"] in claims
        if "secret" in volume:
            assert volume["secret"]["secretName"] == "kerastudy-passwords"
            assert {item["key"] for item in volume["secret"]["items"]} <= set(secrets[1].split())
        if "configMap" in volume:
            assert volume["configMap"]["name"] in {*_generated(), "my-study"}


def _generated() -> set[str]:
    (kustomization,) = load(FOLDER / "base/kustomization.yaml")
    return {each["name"] for each in kustomization["configMapGenerator"]}


def test_selectors_select():
    """Deployments, services, disruption budgets and network policies name labels that pods have; ports exist."""
    labels = {each["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]: each["spec"]["template"]["spec"]
              for each in manifests() if each["kind"] in ("Deployment", "StatefulSet")}  # fmt: skip
    for each in manifests():
        found = re.findall(r"'app.kubernetes.io/name': '(\w+)'", str(each.get("spec", "")))
        assert set(found) <= {*labels, "ray"}, each["metadata"]["name"]
        if each["kind"] == "Service":
            (container,) = labels[each["spec"]["selector"]["app.kubernetes.io/name"]]["containers"]
            ports = {port["containerPort"] for port in container["ports"]}
            assert {port["port"] for port in each["spec"]["ports"]} == ports
        for value in re.findall(r"'values': \[([^]]*)\]", str(each.get("spec", ""))):
            assert {name.strip(" '") for name in value.split(",")} <= {*labels, "ray"}


def _commands() -> Iterator[list[str]]:
    specs = [*PODS.values(), *(each["spec"]["template"]["spec"] for file in PATCHES for each in load(file))]
    for pod in specs:
        for container in containers(pod):
            text = " ".join(container.get("command", ()))
            for line in re.findall(r"kerastudy (?:serve|supervise|upgrade-store)[^\n;|]*", text):
                yield line.split()
    for each in manifests():
        if each["kind"] == "RayJob":
            yield each["spec"]["entrypoint"].split()


@pytest.mark.parametrize("command", [pytest.param(each, id=" ".join(each)) for each in _commands()])
def test_commands_are_understood(command):
    """Every command of ours parses with the command line that it names."""
    words = command[1:]
    if words[0] == "--home":
        words = words[2:]
    verb, *arguments = words
    found = cli.commands.commands[verb]
    with click.Context(found, info_name=verb) as context:
        found.parse_args(context, arguments)


def test_probes_are_answered():
    """Kubernetes sends its probes with a host that the service and MLflow know."""
    service, mlflow = PODS["Deployment kerastudy"]["containers"][0], PODS["Deployment mlflow"]["containers"][0]
    assert service["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert service["readinessProbe"]["httpGet"]["path"] == "/readyz"
    for container, host in ((service, "localhost"), (mlflow, "mlflow:5000")):
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["httpHeaders"] == [{"name": "Host", "value": host}]
    assert "mlflow:5000" in next(word for word in mlflow["command"] if word.startswith("--allowed-hosts"))


def test_sizes_fit():
    """Settings are valid, workers fit the CPUs and the memory of a host, and the shared home is for many writers."""
    (settings,) = load(FOLDER / "base/settings.yaml")
    spec = ServiceSpec.model_validate(settings)
    assert spec.studies == 0
    resources = PODS["Deployment supervisors"]["containers"][0]["resources"]
    assert spec.workers == int(resources["requests"]["cpu"])
    assert spec.workers * spec.memory < int(resources["limits"]["memory"].removesuffix("Gi")) * 2**30
    (home,) = (each for each in manifests() if each["metadata"]["name"] == "kerastudy-home")
    assert home["spec"]["accessModes"] == ["ReadWriteMany"]
    for name in ("Deployment kerastudy", "Deployment supervisors"):
        assert PODS[name]["terminationGracePeriodSeconds"] >= 90


def test_versions_and_copies_agree():
    """Ray's version is the locked one, the image's that of the project, and the database's script that of Compose."""
    (locked,) = re.findall(r"^ray==(\S+)", (ROOT / "requirements-ray.lock").read_text(encoding="utf-8"), re.MULTILINE)
    text = "".join(file.read_text(encoding="utf-8") for file in MANIFESTS)
    assert {Version(found) for found in re.findall(r'rayVersion: "([^"]+)"', text)} == {Version(locked)}
    scripts = (ROOT / "docker/make_databases.sql", FOLDER / "base/make_databases.sql")
    assert scripts[0].read_text(encoding="utf-8") == scripts[1].read_text(encoding="utf-8")
    compose = (ROOT / "docker/compose.yaml").read_text(encoding="utf-8")
    assert re.findall(r"image: (postgres:\S+)", text) == re.findall(r"image: (postgres:\S+)", compose)


def test_secrets_are_references():
    """No password or token is in a manifest: each is a key of a secret."""
    text = "".join(file.read_text(encoding="utf-8") for file in FOLDER.rglob("*.yaml"))
    assert not re.search(r"://[^/@\s]*:[^/@\s]*@", text)
    assert not re.search(r"(?i)(password|token): ['\"]?[A-Za-z0-9]{8,}$", text, re.MULTILINE)
    assert not [each for each in manifests() if each["kind"] == "Secret"]
