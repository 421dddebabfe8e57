"""Names of registered models and the studies that they belong to."""

from tracking.store.accounts import Identity
from tracking.store.registered_names import claim_registered_name, find_registered_name


def test_the_first_study_keeps_a_name(store):
    """A name belongs to the study that claimed it first, and to its submitter's id."""
    ann, other = Identity("a1", "ann", "submit"), Identity("a2", "ann", "submit")
    with store.write() as connection:
        assert find_registered_name(connection, "wine") is None
        claimed = claim_registered_name(connection, "wine", "one", ann)
        assert (claimed.study, claimed.owner, claimed.owner_id) == ("one", "ann", "a1")
        assert claim_registered_name(connection, "wine", "two", other) == claimed
        assert find_registered_name(connection, "wine") == claimed
