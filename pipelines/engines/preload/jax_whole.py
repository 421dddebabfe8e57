"""Preload of JAX and Keras for a fork server, with every optional module that user code may need."""

from __future__ import annotations

from pipelines.engines.preload.loading import load_jax

load_jax()
