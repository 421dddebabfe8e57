"""Pages of the types of problems; they need no token."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from pipelines.service.http.pages import HEADERS, render
from pipelines.service.http.problem_details import PAGES, TYPES
from search_spaces.errors import UnknownError, suggest_choice


def make_problem_router() -> APIRouter:
    """Return the route of the pages."""
    router = APIRouter(include_in_schema=False)

    @router.get(PAGES + "{slug}")
    def show_problem(slug: str) -> HTMLResponse:
        """Explain a type of problems."""
        kind = next((each for each in TYPES if each.slug == slug), None)
        if kind is None:
            hint = suggest_choice(slug[:100], [each.slug for each in TYPES])
            raise UnknownError(f"there is no such type of problems; {hint}")
        return HTMLResponse(render("problem_type.html", kind=kind), headers=HEADERS)

    return router
