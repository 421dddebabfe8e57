"""Errors of the user's code in one line."""

from __future__ import annotations

import pytest

from pipelines.spec.code_errors import describe_error

GRAPH = """Graph execution error:

Detected at node loss/CrossEntropy defined at (most recent call last):
  File "/usr/lib/python3.11/multiprocessing/forkserver.py", line 274, in main

  File "FOLDER/nets/parts.py", line 7, in call

  File "/venv/lib/python3.11/site-packages/keras/src/losses/losses.py", line 2359, in crossentropy

Received a label value of 2 which is outside the valid range of [0, 2).  Label values: 1 0 2
\t [[{{node loss/CrossEntropy}}]] [Op:__inference_step_575]
"""


def raise_in(folder, text, name="model.py"):
    """Return the error that a file's code raises."""
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    with pytest.raises(Exception) as caught:
        exec(compile(text, str(file), "exec"), {"__name__": "it"})
    return caught.value


def test_the_reason_of_a_graph_stands_behind_its_stack(tmp_path):
    """The reason is the last line, the place the innermost file of the user that the stack names."""
    error = ValueError(GRAPH.replace("FOLDER", str(tmp_path)))
    assert describe_error(error, tmp_path / "model.py") == (
        "ValueError: Received a label value of 2 which is outside the valid range of [0, 2). Label values: 1 0 2 "
        "(nets/parts.py, line 7)"
    )


def test_a_long_message_keeps_its_last_line(tmp_path):
    """Its beginning stays as far as there is room."""
    described = describe_error(ValueError("first\n" + "stack " * 200 + "\nthe reason"), tmp_path / "model.py")
    assert described.startswith("ValueError: first stack")
    assert described.endswith(" ... the reason (model.py)")
    assert len(described) < 530


def test_colours_and_arguments_are_left_out(tmp_path):
    """Keras writes both around its reason."""
    error = ValueError(
        "calling Dense.call().\n\n\x1b[1mexpected 7, got 5\x1b[0m\n\nArguments received by Dense:\n  x=1"
    )
    assert (
        describe_error(error, tmp_path / "model.py") == "ValueError: calling Dense.call(). expected 7, got 5 (model.py)"
    )


def test_the_place_is_in_the_users_folder(tmp_path):
    """A module beside the file counts; a library that is installed in the folder does not."""
    assert describe_error(raise_in(tmp_path, "1 / 0"), tmp_path / "model.py").endswith("(model.py, line 1)")
    beside = raise_in(tmp_path, "x = 1\n1 / 0", "parts.py")
    assert describe_error(beside, tmp_path / "model.py").endswith("(parts.py, line 2)")
    installed = raise_in(tmp_path, "1 / 0", "site-packages/keras.py")
    assert describe_error(installed, tmp_path / "model.py") == "ZeroDivisionError: division by zero (model.py)"


def test_a_syntax_error_names_its_own_file(tmp_path):
    """It may be in a module that the file imports."""
    error = raise_in(tmp_path, "def f(:", "parts.py")
    assert describe_error(error, tmp_path / "model.py").endswith("(parts.py, line 1)")


def test_code_that_came_as_an_object_has_its_place_elsewhere(tmp_path):
    """Of code from standard input, a notebook or a script, the innermost frame that is no library's is named."""
    (tmp_path / "model.pkl").touch()

    def fail(name: str) -> str:
        with pytest.raises(ValueError, match="Expecting property name") as caught:
            exec(compile("\nimport json\njson.loads('{')\n", name, "exec"))
        return describe_error(caught.value, tmp_path / "model.py")

    assert fail("<stdin>").endswith("(<stdin>, line 3)")
    assert fail("/tmp/ipykernel_7/812.py").endswith("(notebook cell, line 3)")
    assert fail(str(tmp_path.parent / "script.py")).endswith("(script.py, line 3)")
