"""FarmHash in Python is TensorFlow's."""

import numpy as np
import tensorflow as tf

from pipelines.data.fitted.string_hash import choose_codes, hash_bytes


def test_hashes_of_every_length():
    """Bytes of each length up to 300, where every branch of the function is taken, have TensorFlow's hash."""
    random = np.random.default_rng(0)
    texts = [random.integers(0, 256, length, dtype=np.uint8).tobytes() for length in range(301) for _ in range(3)]
    buckets = 2**63 - 1
    wanted = tf.strings.to_hash_bucket_fast(texts, buckets).numpy().tolist()
    assert [hash_bytes(text) % buckets for text in texts] == wanted


def test_codes():
    """A missing string has code 0, and no other has it."""
    codes = choose_codes(["", "a", "é", "b" * 200], 3)
    assert codes[0] == 0
    assert set(codes[1:].tolist()) <= {1, 2}
