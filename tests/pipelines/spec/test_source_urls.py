"""Addresses of data in a study file, and the prefixes that a service allows."""

import pytest
from pydantic import ValidationError

from pipelines.spec.data_spec import DataSpec
from pipelines.spec.source_urls import explain_refused_url, hide_credentials, is_below

ACCEPTED = ["s3://bucket/rows.parquet", "gs://b/parts/*.csv", "az://c/d", "https://example.org/d.csv?format=csv"]
SECRET = "hunter2"
REFUSED = [
    (f"s3://key:{SECRET}@bucket/rows.csv", "credentials stand in the s3:// address"),
    (f"https://user:{SECRET}@example.org/d.csv", "credentials stand in the https:// address"),
    (f"https://example.org/d.csv?X-Amz-Signature={SECRET}", "signed or holds credentials (X-Amz-Signature=...)"),
    (f"https://example.org/d.csv?access_token={SECRET}", "signed or holds credentials (access_token=...)"),
    (f"s3://bucket/d.csv?versionId={SECRET}", "without a query"),
    ("hdfs://host/d.csv", "expected an address with s3://, gs://, az:// or https://, got hdfs://"),
    ("memory://d.csv", "got memory://"),
    ("file:///etc/passwd", "write its path"),
    ("s3://bucket", "with a file or folder"),
]


@pytest.mark.parametrize("source", ACCEPTED)
def test_addresses_are_accepted(source):
    """Files, folders and patterns of the storages that are read."""
    assert DataSpec.model_validate({"source": source}).source == source


@pytest.mark.parametrize(("source", "message"), REFUSED)
def test_other_addresses_are_refused(source, message):
    """The line has what is wrong, and nothing of the credentials."""
    assert message in explain_refused_url(source)
    with pytest.raises(ValidationError) as caught:
        DataSpec.model_validate({"source": ["a.csv", source]})
    assert SECRET not in caught.value.errors(include_input=False, include_context=False)[0]["msg"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("s3://data/train/a.csv", True),
        ("S3://data/train/*.csv", True),
        ("s3://data/train", True),
        ("s3://data/training/a.csv", False),
        ("s3://data/train/../secret/a.csv", False),
        ("s3://data/train/%2e%2e/secret/a.csv", False),
        ("s3://other/train/a.csv", False),
        ("https://data/train/a.csv", False),
        ("https://safe.org.evil.org/x.csv", False),
        ("https://safe.org/x.csv", True),
        ("https://safe.org:8080/x.csv", False),
        ("https://safe.org\\@evil.org/x.csv", False),
    ],
)
def test_a_service_allows_what_is_below_a_prefix(source, expected):
    """Compared by server and by whole names of folders."""
    assert is_below(source, ["s3://data/train/", "https://safe.org"]) is expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("key hunter2-hunter2 is unknown", "key ... is unknown"),
        ("no server at https://me:hun/ter2@host:9/rows", "no server at https://...@host:9/rows"),
        (
            "refused: https://host/d?X-Amz-Signature=hunter2&part=1",
            "refused: https://host/d?X-Amz-Signature=...&part=1",
        ),
        ("AccountName=a;AccountKey=hunter2==;x", "AccountName=a;AccountKey=...;x"),
        ("/keys/google.json is not there", "/keys/google.json is not there"),
    ],
)
def test_messages_repeat_no_credentials(message, expected):
    """What the variables hold, a password in an address and a signature are left out; names of files stay."""
    variables = {"AWS_SESSION_TOKEN": "hunter2-hunter2", "GOOGLE_APPLICATION_CREDENTIALS": "/keys/google.json"}
    assert hide_credentials(message, variables) == expected
