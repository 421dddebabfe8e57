"""An MLflow server elsewhere, served below the address of the service."""

from __future__ import annotations

import pytest

from pipelines.service.mlflow.proxy import make_server_client
from search_spaces.errors import InputError


@pytest.mark.parametrize("address", ["http://mlflow:5000", "http://mlflow:5000/", "http://mlflow:5000/other"])
def test_its_address_has_the_path_of_the_service(address):
    """Pages and requests of MLflow's UI name their paths from the root, so both must have one prefix."""
    with pytest.raises(InputError, match="--static-prefix /mlflow"):
        make_server_client(address)


@pytest.mark.parametrize("address", ["http://mlflow:5000/mlflow", "http://mlflow:5000/mlflow/"])
def test_requests_go_to_that_server(address):
    """Below the same path."""
    assert str(make_server_client(address).base_url) == "http://mlflow:5000/mlflow/"
