"""Text of a starter's study file."""

from dataclasses import replace

import pytest

from pipelines.data.prepared import DataSummary, Features, Task
from pipelines.data.report import ColumnReport, DataReport, TargetReport
from pipelines.operations.starter.document import Starter, format_flow, write_document
from pipelines.operations.starter.plan import choose_plan
from pipelines.operations.starter.source import SourceFacts
from pipelines.study.objective import Objective
from search_spaces.yaml_reader import parse_document

HOSTILE = 'a: "b" #c\n- d\u2028{e}, [f]'


def make_starter(columns=("age",), notes=(), **data) -> Starter:
    report = DataReport(
        {"train": 70},
        tuple(ColumnReport(name, "numeric", "", 2, 40, 18.0, 40.0, 80.0) for name in columns),
        (TargetReport("bought", {"no": {"train": 40}, "yes": {"train": 30}}),),
    )
    task = Task("binary", ("bought",), ("no", "yes"))
    summary = DataSummary(
        "d.csv", task, Features(dense=1), (), {"train": 70, "validation": 20}, 1, "d", {}, report=report
    )
    facts = SourceFacts("table", 90, tuple(columns), ("bought",))
    keys = {"source": "d.csv", "target": "bought", **data}
    reasons = {"target": "a guess"}
    objective = Objective("val_accuracy", "maximize")
    return Starter("s.yaml", "s", keys, reasons, facts, summary, choose_plan(summary), objective, notes)


def test_what_is_written_is_what_is_read():
    """The file has the keys as they are, and comments beside them."""
    starter = make_starter(drop=["id"], split={"validation": 0.2, "test": 0.1})
    text = write_document(starter)
    read = parse_document(text, "s.yaml").data
    assert read["data"] == starter.data
    assert read["space"] == starter.plan.space
    assert read["objective"] == {"metric": "val_accuracy", "direction": "maximize"}
    assert (
        "  target: bought  # a guess\n  # task: binary (no 40 (57.1%), yes 30 (42.9%)); data.task changes it\n" in text
    )
    assert "  #   age: {type: numeric}  # 40 values from 18 to 80, 2 missing\n" in text
    assert max(map(len, text.splitlines())) <= 120


def test_each_target_with_a_head_has_its_task():
    """The comment names the task and the values of each target, and the key that changes one."""
    sold, price = Task("binary", ("sold",), ("no", "yes")), Task("regression", ("price",))
    starter = make_starter(target=["sold", "price"])
    counts = {"no": {"train": 3}, "yes": {"train": 1}}
    low, high = {"train": 2.0}, {"train": 9.0}
    report = replace(
        starter.summary.report,
        targets=(TargetReport("sold", counts), TargetReport("price", low=low, high=high)),
    )
    task = Task("multi_task", ("sold", "price"), heads=(price, sold))
    text = write_document(replace(starter, summary=replace(starter.summary, task=task, report=report)))
    read = " ".join(line.strip(" #") for line in text.splitlines())
    comment = "tasks: sold binary (no 3 (75.0%), yes 1 (25.0%)); price regression (from 2 to 9); data.tasks changes one"
    assert comment in read


def test_names_of_columns_end_no_comment():
    """A line break in a name or a note stays in its comment, and a name in a key is quoted."""
    plain = parse_document(write_document(make_starter()), "s.yaml").data
    text = write_document(make_starter([HOSTILE], [f"column {HOSTILE} is odd\nspace: {{}}"], drop=[HOSTILE]))
    read = parse_document(text, "s.yaml").data
    assert read == {**plain, "data": {**plain["data"], "drop": [HOSTILE]}}


def test_the_commented_columns_are_keys():
    """With their marks removed, the lines of the columns are the section that they describe."""
    text = write_document(make_starter(["age", HOSTILE, "no", "1e3"]))
    lines = [line.replace("  # ", "  ", 1) for line in text.splitlines() if line.startswith(("  # columns:", "  #   "))]
    read = parse_document("data:\n" + "\n".join(lines), "s.yaml").data
    assert read["data"]["columns"] == {name: {"type": "numeric"} for name in ("age", HOSTILE, "no", "1e3")}


def test_many_columns_are_cut():
    """A file of a thousand lines would be read by nobody."""
    text = write_document(make_starter([f"c{number}" for number in range(500)]))
    assert "  #   and 440 more; kerastudy validate s.yaml --json has all\n" in text
    assert len(text.splitlines()) < 150


@pytest.mark.parametrize(
    "value", [HOSTILE, "no", "1e-4", "a, b", "x" * 300, "x y " * 80, 1e-5, 3, True, ["a", "b: c"], {}]
)
def test_values_on_a_line(value):
    """Whatever a value is, it is one line, and is read as it was."""
    written = format_flow({"key": value})
    assert "\n" not in written
    assert parse_document(f"data: {written}", "s").data["data"]["key"] == value


def test_the_commands_in_a_file_can_be_pasted():
    """A file's name with a space is quoted in them."""
    text = write_document(replace(make_starter(), file="my study.yaml"))
    assert "#     kerastudy validate 'my study.yaml'\n" in text
    assert "#     kerastudy run 'my study.yaml'\n" in text
