"""The operator's file is checked like a study file, and a public address without TLS is refused."""

from __future__ import annotations

import pytest

from pipelines.service.addresses import check_address, make_url
from pipelines.service.config import ServiceSpec, read_config
from search_spaces.errors import InputError


def test_without_a_file_it_listens_to_this_machine_alone(tmp_path):
    """The defaults admit no other machine, read no data, and run no code."""
    spec = read_config(None, tmp_path)
    assert (spec.host, spec.data, spec.code, spec.uploads) == ("127.0.0.1", [], [], None)


def test_the_homes_own_file_is_read(tmp_path):
    """`service.yaml` in the home needs no option."""
    (tmp_path / "service.yaml").write_text(f"port: 9000\nuploads: 5MB\ndata: [{tmp_path}]\n")
    spec = read_config(None, tmp_path)
    assert (spec.port, spec.uploads, spec.data) == (9000, 5_000_000, [str(tmp_path)])


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("prot: 1\n", r'1:1: prot: unknown key "prot"; did you mean "port"'),
        ("port: 70000\n", "1:7: port: expected a number of at most 65535, got 70000"),
        ("data: [relative]\n", "1:8: data.*absolute path"),
        ("data: [/no/such/folder]\n", "data.*an existing folder"),
        ("code: [model.py]\n", "code"),
        ("code: ['/no/such.py:build']\n", "code"),
        ("notify: [{on: [finished]}]\n", "expected either webhook or command"),
        ("notify: [{webhook: 'ftp://x'}]\n", "notify"),
        ("notify: [{webhook: 'http://x', secret_file: /no/such}]\n", "no file /no/such"),
        ("notify: [{command: [x], secret_file: /no/such}]\n", "secret_file signs"),
        ("tls: {certificate: /no/such, key: /no/such}\n", "no file /no/such"),
    ],
)
def test_what_is_wrong_has_its_place(tmp_path, text, wrong):
    """File, line, column, key, and what was expected."""
    file = tmp_path / "service.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=wrong) as refused:
        read_config(file, tmp_path)
    assert str(refused.value).startswith(str(file))


def test_a_file_that_is_named_must_be_there(tmp_path):
    """Only the home's own may be missing."""
    with pytest.raises(InputError):
        read_config(tmp_path / "no.yaml", tmp_path)


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
