"""The operator's file is checked like a study file."""

from __future__ import annotations

import pytest

from pipelines.service.config import read_config
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
