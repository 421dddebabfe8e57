"""A server on loopback that speaks S3 and checks signatures: Moto's, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

ALLOWED = {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["*"]}


@dataclass(frozen=True)
class ObjectStorage:
    """A server with one user.

    Attributes:
        environment: variables that a process needs to read from it.
    """

    environment: Mapping[str, str]

    @property
    def secret(self) -> str:
        """The user's secret key."""
        return self.environment["AWS_SECRET_ACCESS_KEY"]

    def put(self, bucket: str, files: Mapping[str, bytes]) -> None:
        """Make a bucket that holds some objects."""
        storage = _open_client("s3", self.environment)
        storage.create_bucket(Bucket=bucket)
        for name, content in files.items():
            storage.put_object(Bucket=bucket, Key=name, Body=content)


@contextmanager
def serve_objects() -> Iterator[ObjectStorage]:
    """Yield a server that runs until the end of the block."""
    with subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield ObjectStorage(json.loads(process.stdout.readline()))
        finally:
            process.kill()


def main() -> None:
    """Serve, print the variables of the only user, and run until the input ends."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": "anyone",
        "AWS_SECRET_ACCESS_KEY": "anything",
    }
    print(json.dumps({**variables, **_make_user(variables)}), flush=True)
    sys.stdin.read()


def _make_user(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the key of a new user, without whom the server answers nothing from now on."""
    accounts = _open_client("iam", variables)
    accounts.create_user(UserName="reader")
    policy = json.dumps({"Version": "2012-10-17", "Statement": [ALLOWED]})
    accounts.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
    key = accounts.create_access_key(UserName="reader")["AccessKey"]
    address = f"{variables['AWS_ENDPOINT_URL']}/moto-api/reset-auth"
    request = urllib.request.Request(address, b"0", {"Content-Type": "text/plain"}, method="POST")
    urllib.request.urlopen(request, timeout=30).close()
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def _open_client(service: str, variables: Mapping[str, str]) -> Any:
    import boto3

    return boto3.client(
        service,
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_DEFAULT_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )


if __name__ == "__main__":
    main()
