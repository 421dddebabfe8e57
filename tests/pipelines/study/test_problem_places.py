"""Places of problems in a study file."""

from __future__ import annotations

from pipelines.study.problem_places import locate_problem, sort_problems
from search_spaces.errors import Problem
from search_spaces.yaml_reader import parse_document

FILE = "study: s\nmodel: mlp\ndata:\n  source: d.csv\n"


def test_a_problem_gets_the_place_of_its_key():
    """A missing key has the place of the section that it belongs in, as far as that is in the file."""
    document = parse_document(FILE, "s.yaml")
    place = locate_problem(document, Problem("wrong", "data.source")).place
    assert place is not None
    assert (place.file, place.line) == ("s.yaml", 4)


def test_problems_are_sorted_from_top_to_bottom():
    """Each is there once; those without a place come last."""
    document = parse_document(FILE, "s.yaml")
    late, early = (locate_problem(document, Problem("wrong", key)) for key in ("data.source", "model"))
    elsewhere = Problem("of the command line")
    assert sort_problems(document, [elsewhere, late, early, late]) == [early, late, elsewhere]
