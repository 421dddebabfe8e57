"""A server on loopback that speaks Azure's storage protocol and checks signatures: Azurite, a program of npm's."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass

ACCOUNT = "kerastudy"
_START_S = 60.0


@dataclass(frozen=True)
class AzureStorage:
    """A server with one account.

    Attributes:
        environment: variables that a process needs to read from it.
    """

    environment: Mapping[str, str]
    key: str
    port: int

    @property
    def secrets(self) -> list[str]:
        """What no message may repeat: the account's key."""
        return [self.key]

    def put(self, container: str, files: Mapping[str, bytes]) -> None:
        """Make a container that holds some blobs."""
        from azure.storage.blob import BlobServiceClient

        with BlobServiceClient.from_connection_string(self.environment["AZURE_STORAGE_CONNECTION_STRING"]) as client:
            client.create_container(container)
            for name, content in files.items():
                client.get_blob_client(container, name).upload_blob(content)


def find_azurite() -> str | None:
    """Return the program; None where it is not installed."""
    return shutil.which("azurite-blob")


def make_connection_string(key: str, port: int) -> str:
    """Return the account's connection string with a key."""
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={endpoint};"


@contextmanager
def serve_azure() -> Iterator[AzureStorage]:
    """Yield a server that runs until the end of the block."""
    key, port = make_key(), _find_free_port()
    arguments = ["--blobPort", str(port), "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    program = find_azurite()
    assert program is not None
    with subprocess.Popen(
        [program, *arguments, "--inMemoryPersistence"],
        env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait_for(port, process)
            yield AzureStorage({"AZURE_STORAGE_CONNECTION_STRING": make_connection_string(key, port)}, key, port)
        finally:
            process.kill()


def make_key() -> str:
    """Return a new key in the form that Azure's have."""
    return base64.b64encode(secrets.token_bytes(64)).decode()


def _find_free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return
