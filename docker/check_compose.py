"""Check of compose.yaml without a Docker engine: runs its services but for Caddy and the monitoring, and a study.

The description of each service is read from compose.yaml: user, command, environment, secrets, volumes, read-only root,
health check. A service's process runs in the built image's files (`chroot`) without any capability. All of it is in
namespaces of its own, so ports are free, names resolve to the loopback address, and nothing is left behind. PostgreSQL
is the installed one, since its image is not available. Needs root. `check_image.sh` calls it:

    unshare --net --mount --pid --fork --kill-child --mount-proc
        python docker/check_compose.py IMAGE_ROOT IMAGE.json [COMPOSE.json, as docker compose reads the file]
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SETTINGS = {"KERASTUDY_DATA": str(ROOT / "studies")}
_READY_S = 300.0


def main(image_root: Path, image_file: Path, read_by_docker: Path | None = None) -> None:
    """Start all services, run studies, restart the service in between, and check the records in MLflow."""
    os.umask(0o022)
    image = json.loads(image_file.read_text(encoding="utf-8"))["Docker"]["config"]
    compose = read_compose(HERE / "compose.yaml")
    if read_by_docker is not None:
        _compare_readings(compose, json.loads(read_by_docker.read_text(encoding="utf-8").replace("$$", "$")))
    folder = Path(tempfile.mkdtemp(prefix="kerastudy-compose-"))
    folder.chmod(0o755)
    _run("ip", "link", "set", "lo", "up")
    secrets = folder / "secrets"
    _run(str(HERE / "make_secrets.sh"), str(secrets))
    database = Database(compose["services"]["database"], folder, secrets)
    mlflow, service = (
        Container(name, compose["services"][name], compose, image, image_root, folder, secrets)
        for name in ("mlflow", "kerastudy")
    )
    try:
        _bring_up(database, mlflow, service)
        _check_passwords_are_hidden(secrets)
        token = service.run_command("kerastudy", "token", "create", "image-check", "--scope", "submit").strip()
        _report("the command line in the service's container made a token")
        client = Client(token, folder)
        _check_study_ends(client, folder)
        _check_restart(client, service)
        _check_mlflow("breast-cancer", "concrete-strength")
        _check_backup(client, database, mlflow, service)
        _check_mlflow("breast-cancer", "concrete-strength")
    except BaseException:
        for each in (database, mlflow, service):
            print(f"--- {each.name}'s last lines\n{_read_tail(each.log)}", file=sys.stderr)
        raise
    finally:
        for each in (service, mlflow, database):
            each.stop()
        for each in (mlflow, service):
            _run("umount", "--recursive", "--lazy", str(folder / each.name))
        shutil.rmtree(folder)


def _bring_up(*services: Database | Container) -> None:
    for each in services:
        each.start()
        _wait_for(each.is_healthy, f"{each.name} to be healthy", each.log)
        _report(f"{each.name} is healthy, after {time.monotonic() - each.began:.0f} s")


def read_compose(file: Path) -> dict[str, Any]:
    """Return a compose file's content with its variables filled in."""
    text = file.read_text(encoding="utf-8")
    filled = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: SETTINGS.get(found[1], found[2]), text)
    content: dict[str, Any] = YAML(typ="safe").load(filled.replace("$$", "$"))
    return content


def _compare_readings(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    keys = ("entrypoint", "command", "environment", "user", "read_only", "cap_drop", "security_opt", "tmpfs", "image")
    for name, spec in ours["services"].items():
        if "profiles" in spec:  # docker compose leaves them out unless they are requested
            continue
        for key in keys:
            if spec.get(key) != theirs["services"][name].get(key):
                got = f"{spec.get(key)}, and docker compose as {theirs['services'][name].get(key)}"
                raise RuntimeError(f"{name}.{key} is read here as {got}")
    _report("docker compose reads the file in the same way")


class Container:
    """Service with our image, run as compose.yaml describes."""

    def __init__(
        self,
        name: str,
        spec: Mapping[str, Any],
        compose: Mapping[str, Any],
        image: Mapping[str, Any],
        image_root: Path,
        folder: Path,
        secrets: Path,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.began = 0.0
        self._root = folder / name
        self._spec = spec
        self._entry = [*spec["entrypoint"], *spec["command"]]
        self._health = spec.get("healthcheck", {}).get("test") or image["Healthcheck"]["Test"]
        user = _run("chroot", str(image_root), "getent", "passwd", image["User"]).split(":")
        self._user, self._group = user[2], user[3]
        pairs = (line.partition("=")[::2] for line in image["Env"])
        self._environment = {"HOME": user[5], **dict(pairs), **spec["environment"]}
        self._process: subprocess.Popen[bytes] | None = None
        self._mount(image_root, compose, folder, secrets)

    def _mount(self, image_root: Path, compose: Mapping[str, Any], folder: Path, secrets: Path) -> None:
        """Mount the container's files: the image, read-only, and over it the mounts of compose.yaml."""
        binds: list[tuple[Path, str, str]] = [
            (Path("/proc"), "/proc", "rw"),
            (_write_hosts(compose, folder), "/etc/hosts", "ro"),
        ]
        binds += [(Path(f"/dev/{name}"), f"/dev/{name}", "rw") for name in ("null", "zero", "random", "urandom")]
        for written in self._spec["secrets"]:
            source, target = (written, written) if isinstance(written, str) else (written["source"], written["target"])
            file = secrets / Path(compose["secrets"][source]["file"]).name
            binds.append((file, f"/run/secrets/{target}", "ro"))
        for written in self._spec["volumes"]:
            source, target, rights = (*written.split(":"), "rw")[:3]
            if source in compose["volumes"]:
                place = _make_volume(folder / "volumes" / source, image_root / target[1:])
            else:
                place = (HERE / source).resolve()
            binds.append((place, target, rights))
        memory = [(entry.split(":")[0], entry.partition(":")[2]) for entry in self._spec["tmpfs"]]
        memory.append(("/dev/shm", "mode=1777"))
        for source, target, _ in binds:
            _make_place(image_root / target[1:], is_folder=source.is_dir())
        for target, _ in memory:
            _make_place(image_root / target[1:], is_folder=True)
        self._root.mkdir()
        _run("mount", "--bind", str(image_root), str(self._root))
        if self._spec["read_only"]:
            _run("mount", "-o", "remount,bind,ro", str(self._root))
        for target, options in memory:
            _run("mount", "-t", "tmpfs", "-o", f"nosuid,nodev,noexec,{options}", "tmpfs", f"{self._root}{target}")
        for source, target, rights in binds:
            _run("mount", "--bind", str(source), f"{self._root}{target}")
            if rights == "ro":
                _run("mount", "-o", "remount,bind,ro", f"{self._root}{target}")

    def start(self) -> None:
        """Start its process."""
        self.began = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._wrap(self._entry), stdout=log, stderr=log, start_new_session=True)

    def is_healthy(self) -> bool:
        """Run its health check.

        Raises:
            RuntimeError: if its process has ended.
        """
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"{self.name} has ended")
        test = self._wrap(self._health[1:])
        return subprocess.run(test, capture_output=True, check=False, timeout=60).returncode == 0

    def run_command(self, *command: str) -> str:
        """Run a command in the container, as `docker compose exec` does, and return its output."""
        return _run(*self._wrap(command))

    def stop(self) -> int | None:
        """End it as an engine does: SIGTERM, and SIGKILL when the grace period is over; return its exit status."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout=float(self._spec.get("stop_grace_period", "10s").removesuffix("s")))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None

    def _wrap(self, command: Sequence[str]) -> list[str]:
        rights = ["--clear-groups", "--no-new-privs"]
        if self._spec["cap_drop"] == ["ALL"]:
            rights += ["--bounding-set=-all", "--inh-caps=-all"]
        who = [f"--reuid={self._user}", f"--regid={self._group}", *rights]
        settings = [f"{name}={value}" for name, value in self._environment.items()]
        return ["chroot", str(self._root), "setpriv", *who, "env", "-i", *settings, *command]


class Database:
    """Installed PostgreSQL, with compose.yaml's databases, passwords and health check."""

    def __init__(self, spec: Mapping[str, Any], folder: Path, secrets: Path) -> None:
        self.name = "database"
        self.log = folder / "database.log"
        self.began = 0.0
        self._health = spec["healthcheck"]["test"][1:]
        self._data = folder / "database"
        self._secrets = secrets
        self._environment: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make a new one with passwords, start it, and make its databases."""
        self.began = time.monotonic()
        Path("/run/secrets").mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", str(self._secrets), "/run/secrets")
        programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        user = pwd.getpwnam("postgres")
        self._data.mkdir()
        os.chown(self._data, user.pw_uid, user.pw_gid)
        password = self._data.parent / "password"
        shutil.copy(self._secrets / "database_password", password)
        os.chown(password, user.pw_uid, user.pw_gid)
        rights: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}
        make = ["initdb", "-D", str(self._data), "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync"]
        with self.log.open("ab") as log:
            subprocess.run([str(programs / make[0]), *make[1:]], stdout=log, stderr=log, check=True, **rights)
            serve = [str(programs / "postgres"), "-D", str(self._data), "-c", "unix_socket_directories="]
            self._process = subprocess.Popen(serve, stdout=log, stderr=log, start_new_session=True, **rights)
        settings = {"PGPASSWORD": password.read_text(), "PGHOST": "127.0.0.1", "PGUSER": "postgres"}
        self._environment = {**os.environ, **settings}
        ready = ["pg_isready", "--quiet"]
        _wait_for(lambda: subprocess.run(ready, env=self._environment, check=False).returncode == 0, "it", self.log)
        self.run("psql", "--quiet", "--set=ON_ERROR_STOP=1", "--file", str(HERE / "make_databases.sql"), "postgres")

    def run(self, *command: str) -> None:
        """Run a program of PostgreSQL's as its superuser."""
        _run(*command, env=self._environment)

    def is_healthy(self) -> bool:
        """Run its health check."""
        return subprocess.run(self._health, check=False).returncode == 0

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=60)


class Client:
    """Command line on this machine, with a token."""

    def __init__(self, token: str, folder: Path) -> None:
        self._environment = {**os.environ, "KERASTUDY_URL": "http://127.0.0.1:8080", "KERASTUDY_TOKEN": token}
        self._environment["HOME"] = str(folder)

    def __call__(self, *arguments: str) -> str:
        """Run a verb and return its output."""
        command = [str(Path(sys.executable).with_name("kerastudy")), *arguments]
        return _run(*command, env=self._environment)


def _check_passwords_are_hidden(secrets: Path) -> None:
    """Check that no process's environment or arguments hold a password."""
    passwords = [file.read_bytes().strip() for file in secrets.iterdir()]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            visible = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if any(password in visible for password in passwords):
            raise RuntimeError(f"a password shows in process {(process / 'cmdline').read_text()}")
    _report("no password shows in the environment or the arguments of a process")


def _check_study_ends(client: Client, folder: Path) -> None:
    client("submit", str(ROOT / "studies/breast-cancer.yaml"), "--set", "budget.trials=4")
    client("wait", "breast-cancer")
    best = json.loads(client("best", "breast-cancer", "--json"))
    client("export", "breast-cancer", "--format", "keras,saved_model", "--to", str(folder / "exported"))
    written = sorted(file.name for file in (folder / "exported").iterdir())
    _report(f"a study was submitted over HTTP and ended; its best trial is {best['trial']['number']}")
    _report(f"its export was downloaded: {', '.join(written)}")


def _check_restart(client: Client, service: Container) -> None:
    client("submit", str(ROOT / "studies/concrete.yaml"), "--set", "budget.trials=12")
    _wait_for(lambda: len(json.loads(client("trials", "concrete-strength", "--json"))) > 1, "trials", service.log)
    began = time.monotonic()
    status = service.stop()
    if status != 0:
        raise RuntimeError(f"SIGTERM: expected exit status 0 within the grace period, got {status}")
    _report(f"SIGTERM in the middle of a study ended the service in {time.monotonic() - began:.0f} s")
    service.start()
    _wait_for(service.is_healthy, "kerastudy to be healthy again", service.log)
    client("wait", "concrete-strength")
    trials = json.loads(client("trials", "concrete-strength", "--json"))
    if len(trials) != 12:
        raise RuntimeError(f"expected 12 trials, got {len(trials)}")
    _report("the next start went on with it, on data below /data, and it has its 12 trials")


def _check_backup(client: Client, database: Database, mlflow: Container, service: Container) -> None:
    """Dump both databases and lose them; restore them, as docs/deployment.md describes."""
    known = client("list", "--json")
    service.stop()
    mlflow.stop()
    for name in ("kerastudy", "mlflow"):
        file = str(service.log.with_name(f"{name}.dump"))
        database.run("pg_dump", "--format=custom", f"--file={file}", name)
        database.run("psql", "--quiet", f"--command=DROP DATABASE {name}", "postgres")
        database.run("psql", "--quiet", f"--command=CREATE DATABASE {name} OWNER {name}", "postgres")
        database.run("pg_restore", f"--dbname={name}", "--exit-on-error", file)
    _bring_up(mlflow, service)
    if client("list", "--json") != known:
        raise RuntimeError(f"expected {known} after the restore, got {client('list', '--json')}")
    _report("both databases were dumped, lost and restored, and the service lists the same studies")


def _check_mlflow(*studies: str) -> None:
    experiments = _request_mlflow("experiments/search", {"max_results": 100})["experiments"]
    ids = [each["experiment_id"] for each in experiments]
    runs = _request_mlflow("runs/search", {"experiment_ids": ids, "filter": "tags.`kerastudy.kind` = 'study'"})["runs"]
    found = {run["info"]["run_name"]: run["info"]["status"] for run in runs}
    if found != dict.fromkeys(studies, "FINISHED"):
        raise RuntimeError(f"MLflow: expected finished runs of {studies}, got {found}")
    artifacts = _request_mlflow(f"artifacts/list?run_id={runs[0]['info']['run_id']}")["files"]
    models = [each["name"] for each in _request_mlflow("registered-models/search")["registered_models"]]
    if not artifacts or sorted(models) != sorted(studies):
        raise RuntimeError(f"MLflow: expected artifacts and a model of each study, got {artifacts} and {models}")
    _report(
        f"MLflow's REST API has {len(studies)} finished studies with artifacts, and their winners: {', '.join(models)}"
    )


def _request_mlflow(path: str, body: Mapping[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    url = f"http://127.0.0.1:5000/mlflow/api/2.0/mlflow/{path}"
    with urllib.request.urlopen(
        urllib.request.Request(url, data, {"Content-Type": "application/json"}), timeout=60
    ) as got:
        return json.load(got)


def _write_hosts(compose: Mapping[str, Any], folder: Path) -> Path:
    """Return a hosts file in which every service's name has the loopback address."""
    file = folder / "hosts"
    file.write_text("".join(f"127.0.0.1 {name}\n" for name in ("localhost", *compose["services"])), encoding="utf-8")
    return file


def _make_volume(place: Path, in_image: Path) -> Path:
    """Make a new volume with the owner of the image's folder.

    Raises:
        RuntimeError: if there is something in the image's folder, which an engine would copy.
    """
    if any(in_image.iterdir()):
        raise RuntimeError(f"expected an empty folder in the image, got {[*map(str, in_image.iterdir())]}")
    place.mkdir(parents=True)
    shutil.copystat(in_image, place)
    os.chown(place, in_image.stat().st_uid, in_image.stat().st_gid)
    return place


def _make_place(path: Path, *, is_folder: bool) -> None:
    """Make a mount point, as an engine does."""
    if is_folder:
        path.mkdir(parents=True, exist_ok=True)
    elif not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _wait_for(is_ready: Callable[[], bool], what: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_S
    while not is_ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {_READY_S:.0f} s for {what}; see {log}")
        time.sleep(0.5)


def _run(*command: str, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def _read_tail(file: Path) -> str:
    return "\n".join(file.read_text(errors="replace").splitlines()[-30:]) if file.exists() else ""


def _report(line: str) -> None:
    print(f"  {line}", flush=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
