"""Names of registered models and the studies that they belong to."""

from tracking.store.registered_names import claim_registered_name, find_registered_name


def test_the_first_study_keeps_a_name(store):
    """A name belongs to the study that claimed it first."""
    with store.write() as connection:
        assert find_registered_name(connection, "wine") is None
        assert claim_registered_name(connection, "wine", "one") == "one"
        assert claim_registered_name(connection, "wine", "two") == "one"
        assert find_registered_name(connection, "wine") == "one"
