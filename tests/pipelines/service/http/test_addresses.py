"""A public address needs TLS, and the addresses that are printed can be used."""

from __future__ import annotations

import pytest

from pipelines.service.config import ServiceSpec
from pipelines.service.http.addresses import check_address, find_mlflow_url, make_url
from search_spaces.errors import InputError


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org"])
def test_tokens_do_not_cross_a_network_in_the_clear(host):
    """A public address needs a certificate, or the operator's statement that a proxy in front uses TLS."""
    with pytest.raises(InputError, match="in the clear"):
        check_address(ServiceSpec(host=host))
    check_address(ServiceSpec(host=host, tls_in_front=True))
    check_address(ServiceSpec(host=host, tls={"certificate": "c", "key": "k"}))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_this_machine_needs_none(host):
    """Loopback is not a network."""
    check_address(ServiceSpec(host=host))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("10.1.2.3", "http://10.1.2.3:8080"),
        ("::1", "http://[::1]:8080"),
    ],
)
def test_the_printed_url_can_be_used(host, url):
    """A service that listens everywhere names an address that it answers to, as it does in a container."""
    assert make_url(ServiceSpec(host=host, tls_in_front=True)) == url


def test_a_password_in_the_address_is_not_shown():
    """`MLFLOW_TRACKING_URI` may hold one; an address for browsers that is written out wins."""
    assert find_mlflow_url(ServiceSpec(), "http://ann:secret@mlflow:5000") == "http://mlflow:5000"
    assert find_mlflow_url(ServiceSpec(mlflow_url="https://m"), "http://mlflow:5000") == "https://m"
    assert find_mlflow_url(ServiceSpec(), "") == ""
    assert find_mlflow_url(ServiceSpec(mlflow_url="https://m"), "") == ""  # the service runs one itself, seen below it
