"""Data in Google's and in Azure's storage: read by servers that speak their protocols and check who asks."""

from __future__ import annotations

import json
import os

import pytest
from azure_storage import find_azurite, make_connection_string, make_key, serve_azure
from google_storage import make_account, serve_google
from stored_files import make_files, read, write_here

from pipelines.data.reading import remote_files
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError

CONTAINER = "training"
FILE, CONNECTION = "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_STORAGE_CONNECTION_STRING"
OF_GOOGLE, OF_AZURE = f"credentials come from the environment: {FILE}", "AZURE_STORAGE_ACCOUNT_KEY, or " + CONNECTION
SOURCES = [("tables/rows-0.csv", "dense"), ("tables/rows-*.csv", "dense"), ("pictures", "image")]
MADE_UP = "not/the+secret1234567890"


@pytest.fixture(scope="module")
def google(tmp_path_factory):
    """Yield a server that has a bucket."""
    with serve_google(tmp_path_factory.mktemp("google")) as server:
        server.put(CONTAINER, make_files())
        yield server


@pytest.fixture(scope="module")
def azure():
    """Yield a server that has a container."""
    if find_azurite() is None:
        pytest.skip("azurite-blob is not installed: npm install --global azurite")
    with serve_azure() as server:
        server.put(CONTAINER, make_files())
        yield server


@pytest.fixture
def environment(monkeypatch):
    """Return the environment without variables of a storage, and let no connection outlive the test."""
    for name in [name for name in os.environ if name.startswith(("GOOGLE_", "AZURE_", "STORAGE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # read at the import
    import gcsfs

    monkeypatch.setattr(remote_files, "_PAUSE_S", 0.001)
    monkeypatch.setattr(gcsfs.GCSFileSystem, "retries", 1)  # half a minute else
    forget_connections()
    yield monkeypatch
    forget_connections()


def forget_connections():
    """Close what would serve an address for good in a process, also with other keys."""
    import adlfs
    import gcsfs

    adlfs.AzureBlobFileSystem.clear_instance_cache()
    gcsfs.GCSFileSystem.clear_instance_cache()


def set_all(environment, variables, **changed):
    """Set a server's variables, some of them changed."""
    for name, value in {**variables, **changed}.items():
        environment.setenv(name, value)


def check_same_rows(folder, scheme, source, prefers):
    """Check that an address has the rows that the same files have, streamed and not."""
    write_here(folder)
    for streaming in (False, True):
        found = read(folder, f"{scheme}://{CONTAINER}/{source}", prefers, streaming=streaming)
        here = read(folder, source, prefers, streaming=streaming)
        assert (found.digest, found.rows) == (here.digest, here.rows)


def catch(folder, source, prefers="dense"):
    """Return the message of the error at an address."""
    with pytest.raises(InputError) as caught:
        read(folder, source, prefers)
    assert caught.value.problems[0].path == "data.source"
    return str(caught.value)


@pytest.mark.parametrize(("source", "prefers"), SOURCES)
def test_objects_of_google_are_read_as_files_are(environment, google, tmp_path, source, prefers):
    """A table, a pattern of them and a folder of pictures, with the key of an account."""
    set_all(environment, google.environment)
    check_same_rows(tmp_path, "gs", source, prefers)


@pytest.mark.parametrize(("source", "prefers"), SOURCES)
def test_blobs_of_azure_are_read_as_files_are(environment, azure, tmp_path, source, prefers):
    """A table, a pattern of them and a folder of pictures, with the key of an account."""
    set_all(environment, azure.environment)
    check_same_rows(tmp_path, "az", source, prefers)


@pytest.mark.parametrize(("source", "prefers"), [*SOURCES, ("tables/none.csv", "dense")])
def test_another_accounts_key_of_google_is_refused(environment, google, tmp_path, source, prefers):
    """The line names the address and the variable, repeats no key, and advises no repetition."""
    other, _ = make_account(google.environment["STORAGE_EMULATOR_HOST"])
    (tmp_path / "other.json").write_text(json.dumps(other))
    set_all(environment, google.environment, **{FILE: str(tmp_path / "other.json")})
    message = catch(tmp_path, f"gs://{CONTAINER}/{source}", prefers)
    assert f"gs://{CONTAINER}/{source} may not be read" in message
    assert OF_GOOGLE in message
    assert not any(secret in message for secret in (*google.secrets, other["private_key"].splitlines()[1]))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "No such file or directory"),
        (MADE_UP, "it is no JSON"),
        (json.dumps({"private_key": MADE_UP}), "it lacks type"),
        (json.dumps({"type": "service_account", "private_key": MADE_UP}), "it lacks client_email, token_uri"),
    ],
)
def test_a_file_without_an_account_of_google_is_named(environment, google, tmp_path, content, expected):
    """Its package tries without an account then, and the refusal alone would not lead to the file."""
    file = tmp_path / "account.json"
    if content is not None:
        file.write_text(content)
    set_all(environment, google.environment, **{FILE: str(file)})
    message = catch(tmp_path, f"gs://{CONTAINER}/tables/rows-0.csv")
    assert message.endswith(f"{OF_GOOGLE}, which names {file}: {expected}")
    assert MADE_UP not in message


@pytest.mark.parametrize(("source", "prefers"), [*SOURCES, ("tables/none.csv", "dense")])
def test_another_key_of_azure_is_refused(environment, azure, tmp_path, source, prefers):
    """The line names the address and the variables, repeats no key, and advises no repetition."""
    wrong = MADE_UP if source == "tables/none.csv" else make_key()
    environment.setenv(CONNECTION, make_connection_string(wrong, azure.port))
    message = catch(tmp_path, f"az://{CONTAINER}/{source}", prefers)
    assert f"az://{CONTAINER}/{source} may not be read" in message
    assert OF_AZURE in message
    assert not any(secret in message for secret in (wrong, *azure.secrets))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", "cannot be read .*check the variables of adlfs in the environment: AZURE_STORAGE_ACCOUNT_NAME and"),
        (MADE_UP, "cannot be read .*check the variables of adlfs in the environment: AZURE_STORAGE_ACCOUNT_NAME and"),
    ],
)
def test_variables_of_azure_that_give_no_access_are_named(environment, tmp_path, value, expected):
    """None, and a connection string that is none: each line leads to the environment."""
    environment.setenv(CONNECTION, value) if value else None
    with pytest.raises(InputError, match=expected) as caught:
        read(tmp_path, f"az://{CONTAINER}/tables/rows-0.csv")
    assert MADE_UP not in str(caught.value)


@pytest.mark.parametrize("storage", ["google", "azure"])
@pytest.mark.parametrize("source", ["elsewhere/rows.csv", "training/tables/none.csv", "training/none"])
def test_what_is_not_there_is_named(environment, request, tmp_path, storage, source):
    """A bucket or a container, an object and a folder that do not exist: the line is about the address."""
    set_all(environment, request.getfixturevalue(storage).environment)
    address = f"{'gs' if storage == 'google' else 'az'}://{source}"
    assert f"there is no file or folder {address}" in catch(tmp_path, address)


@pytest.mark.parametrize("refused", ["google", "azure"])
def test_a_refused_key_leaves_no_study_its_copy(environment, request, tmp_path, refused):
    """A copy stands in for a storage that is away, not for one that refuses."""
    storage = request.getfixturevalue(refused)
    set_all(environment, storage.environment)
    address = f"{'gs' if refused == 'google' else 'az'}://{CONTAINER}/tables/rows-0.csv"
    fetched = remote_files.fetch_sources(make_spec(address), tmp_path / "copies", lambda step: None)
    assert fetched.notes == ()
    forget_connections()
    if refused == "google":
        environment.setenv(FILE, str(tmp_path / "absent.json"))
    else:
        environment.setenv(CONNECTION, make_connection_string(make_key(), storage.port))
    with pytest.raises(InputError, match="may not be read"):
        remote_files.fetch_sources(make_spec(address), tmp_path / "copies", lambda step: None)


def make_spec(address):
    """Return the `data` of a study at an address."""
    return DataSpec.model_validate({"source": address, "target": "y"})
