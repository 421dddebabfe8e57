"""Preload of what prepares data and compares models with a space, for the fork server of workers without Keras.

It starts in half a second, where a backend of Keras takes two to five: a study's first job does not wait for these.
"""

from __future__ import annotations

from pipelines.engines.preload.loading import load_jobs, use_system_allocator

use_system_allocator()
load_jobs("pipelines.data.prepare", "pyarrow.parquet", "pyarrow.pandas_compat")
