"""Names of the model's outputs for several targets."""

from pipelines.data.targets.output_names import name_outputs


def test_names_are_those_that_every_file_can_have():
    """Letters, digits and underscores stay; anything else is cleaned, and two names never become one."""
    assert name_outputs(["price", "is sold?", "is sold!", "class"]) == {
        "price": "price",
        "is sold?": "is_sold",
        "is sold!": "is_sold_2",
        "class": "column_class",
    }


def test_a_metric_of_a_head_cannot_be_another_ones():
    """`val_` and `weighted_` before a metric mean something else, so no name begins so."""
    names = name_outputs(["x", "val_x", "target_val_x"])
    assert len(set(names.values())) == 3
    assert not any(name.startswith("val_") for name in names.values())
