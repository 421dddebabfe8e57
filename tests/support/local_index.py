"""A package index on loopback: small wheels made here, and installed packages packed again as wheels."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path


class LocalIndex:
    """Wheels by name, laid out as a simple index below a folder."""

    def __init__(self, folder: Path) -> None:
        self._simple = folder / "simple"
        self._pins: dict[tuple[str, str], str] = {}

    def add_package(self, name: str, version: str, requires: Iterable[str] = (), extras: Iterable[str] = ()) -> None:
        """Add a package that holds one empty module and the given metadata."""
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Provides-Extra: {extra}" for extra in extras]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires]
        info = f"{name}-{version}.dist-info"
        wheel = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        files = {f"{name}.py": b"", f"{info}/METADATA": "\n".join(lines).encode(), f"{info}/WHEEL": wheel.encode()}
        self._add_wheel(name, version, "py3-none-any", files)

    def add_installed(self, name: str) -> None:
        """Add the release of a package that this environment runs on."""
        found = distribution(name)
        version, info = found.version, f"{name}-{found.version}.dist-info"
        files = {}
        for file in found.files or ():
            written = file.as_posix()
            if written.endswith((".pyc", "/RECORD", "/INSTALLER", "/REQUESTED", "/direct_url.json")):
                continue
            if written.startswith("../"):  # A script, which a wheel keeps in a folder of its own.
                written = f"{name}-{version}.data/scripts/{file.name}"
            files[written] = Path(str(found.locate_file(file))).read_bytes()
        tag = next(line[5:] for line in files[f"{info}/WHEEL"].decode().splitlines() if line.startswith("Tag: "))
        self._add_wheel(name, version, tag, files)

    def write_lock(self, path: Path, pins: Mapping[str, str]) -> None:
        """Write a lock file with the pins of the given packages and their hashes."""
        lines = [f"{n}=={v} \\\n    --hash=sha256:{self._pins[n, v]}\n    # via something\n" for n, v in pins.items()]
        path.write_text("".join(lines), encoding="utf-8")

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Answer on loopback inside the block; yields the index's address."""
        handler = partial(_QuietHandler, directory=str(self._simple.parent))
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}/simple/"
            server.shutdown()

    def _add_wheel(self, name: str, version: str, tag: str, files: Mapping[str, bytes]) -> None:
        record = f"{name}-{version}.dist-info/RECORD"
        rows = [f"{path},sha256={_digest(content)},{len(content)}\n" for path, content in files.items()]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as wheel:
            for path, content in {**files, record: "".join([*rows, f"{record},,\n"]).encode()}.items():
                entry = zipfile.ZipInfo(path)
                entry.external_attr = (0o100755 if "/scripts/" in path else 0o100644) << 16
                wheel.writestr(entry, content)
        folder = self._simple / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}-{version}-{tag}.whl").write_bytes(packed.getvalue())
        self._pins[name, version] = hashlib.sha256(packed.getvalue()).hexdigest()


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
