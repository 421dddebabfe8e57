"""A server on loopback that speaks Google's storage protocol and checks tokens: an emulator's, in a process of its own.

The emulator takes every request. In front of it stands what it lacks: tokens, for the signed requests of one account.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

ACCOUNT = "reader@project.iam.gserviceaccount.com"
TOKEN = "a-token-of-an-hour"


@dataclass(frozen=True)
class GoogleStorage:
    """A server with one account.

    Attributes:
        environment: variables that a process needs to read from it.
    """

    environment: Mapping[str, str]

    @property
    def secrets(self) -> list[str]:
        """What no message may repeat: a line of the account's private key, and the token."""
        read: dict[str, str] = json.loads(Path(self.environment["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
        return [read["private_key"].splitlines()[1], TOKEN]

    def put(self, bucket: str, files: Mapping[str, bytes]) -> None:
        """Make a bucket that holds some objects."""
        self._post("storage/v1/b", json.dumps({"name": bucket}).encode())
        for name, content in files.items():
            query = urllib.parse.urlencode({"uploadType": "media", "name": name})
            self._post(f"upload/storage/v1/b/{bucket}/o?{query}", content)

    def _post(self, path: str, content: bytes) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json" if "?" not in path else "x/y"}
        request = urllib.request.Request(f"{self.environment['STORAGE_EMULATOR_HOST']}/{path}", content, headers)
        urllib.request.urlopen(request, timeout=30).close()


@contextmanager
def serve_google(folder: Path) -> Iterator[GoogleStorage]:
    """Yield a server that runs until the end of the block; `folder` takes its account's file."""
    with subprocess.Popen(
        [sys.executable, __file__], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            file = folder / "account.json"
            file.write_text(process.stdout.readline())
            variables = {"STORAGE_EMULATOR_HOST": address, "GOOGLE_APPLICATION_CREDENTIALS": str(file)}
            yield GoogleStorage({**variables, "NO_GCE_CHECK": "true", "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"})
        finally:
            process.kill()


def make_account(address: str, email: str = ACCOUNT) -> tuple[dict[str, str], Any]:
    """Return the file of an account that gets its tokens at an address, and its public key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    written = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": "project",
        "private_key_id": "1",
        "private_key": written.decode(),
        "client_email": email,
        "token_uri": f"{address}/token",
    }
    return account, key.public_key()


def main() -> None:
    """Serve, print the address and the account, and run until the process is killed."""
    from http.server import HTTPServer

    from gcp_storage_emulator.server import RequestHandler
    from gcp_storage_emulator.storage import Storage

    class Handler(RequestHandler):  # type: ignore[misc]
        """The emulator's handler behind a check of tokens."""

        def do_GET(self) -> None:  # noqa: N802  # the name that the library calls
            """Answer requests that have the token."""
            if self.headers.get("Authorization") == f"Bearer {TOKEN}":
                super().do_GET()
            else:
                self._send(HTTPStatus.UNAUTHORIZED, {"error": {"code": 401, "message": "Anonymous caller"}})

        def do_POST(self) -> None:  # noqa: N802  # the name that the library calls
            """Give the token to whoever has signed the request with the account's key; pass on what has it."""
            if self.path != "/token":
                super().do_POST()
                return
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if _is_signed(urllib.parse.parse_qs(body)["assertion"][0], public_key):
                self._send(HTTPStatus.OK, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
            else:
                problem = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
                self._send(HTTPStatus.BAD_REQUEST, problem)

        def _send(self, status: HTTPStatus, answer: Mapping[str, Any]) -> None:
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = HTTPServer(("127.0.0.1", 0), partial(Handler, Storage(use_memory_fs=True)))
    address = f"http://127.0.0.1:{server.server_port}"
    account, public_key = make_account(address)
    print(address, json.dumps(account), sep="\n", flush=True)
    server.serve_forever()


def _is_signed(assertion: str, public_key: Any) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    content, _, signature = assertion.rpartition(".")
    try:
        public_key.verify(
            base64.urlsafe_b64decode(signature + "=="), content.encode(), padding.PKCS1v15(), hashes.SHA256()
        )
    except InvalidSignature:
        return False
    return True


if __name__ == "__main__":
    main()
