"""Addresses of the service: where it listens, which names it answers to, where its MLflow is."""

from __future__ import annotations

import ipaddress

import httpx

from pipelines.service.config import LOCAL, ServiceSpec
from search_spaces.errors import InputError

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses that stand for every address of the machine, and their loopback addresses."""


def check_address(spec: ServiceSpec) -> None:
    """Check that tokens do not cross a network in the clear.

    Raises:
        InputError: if other machines can reach the address, and neither the service nor a proxy uses TLS.
    """
    # A token read on its way is as good as a login, so a warning would not be enough.
    if spec.host not in LOCAL and not _is_loopback(spec.host) and spec.tls is None and not spec.tls_in_front:
        raise InputError(
            f"{spec.host} can be reached from elsewhere, and tokens would cross the network in the clear: set `tls`, "
            "or, where a proxy in front uses TLS, `tls_in_front: true` (--tls-in-front)"
        )


def make_url(spec: ServiceSpec) -> str:
    """Return the URL at which a client on this machine reaches a service, with a name that the service answers to."""
    # Nobody can connect to 0.0.0.0 everywhere, and `Host: 0.0.0.0` is refused.
    name = _ANYWHERE.get(spec.host, spec.host)
    host = f"[{name}]" if ":" in name else name
    return f"{'https' if spec.tls else 'http'}://{host}:{spec.port}"


def list_hosts(spec: ServiceSpec) -> set[str]:
    """Return the names and addresses that the service answers to."""
    return {*LOCAL, *spec.hosts, *(() if spec.host in _ANYWHERE else (spec.host,))}


def find_mlflow_url(spec: ServiceSpec, tracking_uri: str) -> str:
    """Return where browsers reach the MLflow server at `tracking_uri`; empty where there is none.

    It is the URL without the password that may be in it, unless the operator named another one.
    """
    if not tracking_uri:
        return ""
    # The URL is shown to everybody with a token.
    return spec.mlflow_url or str(httpx.URL(tracking_uri).copy_with(userinfo=b""))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
