"""Check of a server of the breast-cancer model with real rows: check_serving.py URL."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from sklearn.datasets import load_breast_cancer

_ROWS = 100
_READY_S = 120.0


def main(url: str) -> None:
    """Send rows and compare the answers with the true classes; send a wrong row too."""
    _wait_until_ready(url)
    data = load_breast_cancer()
    names = [str(name) for name in data.feature_names]
    rows = [dict(zip(names, map(float, row), strict=True)) for row in data.data[:_ROWS]]
    status, answer = _post(url, {"rows": rows})
    if status != 200:
        sys.exit(f"expected predictions, got {status}: {answer}")
    predicted = [each["class"] for each in answer["predictions"]]
    right = sum(a == b for a, b in zip(predicted, data.target_names[data.target[:_ROWS]], strict=True))
    print(f"  {url}/predict: {len(predicted)} rows of raw columns, {right} classes right")
    print(f"  the first is {answer['predictions'][0]}")
    if right < 0.8 * _ROWS:
        sys.exit(f"only {right} of {_ROWS} are right: is it another model?")
    del rows[0][names[0]]
    status, answer = _post(url, {"rows": rows[:1]})
    if status != 422 or answer["detail"][0]["loc"][-1] != names[0]:
        sys.exit(f"a row without {names[0]}: expected a refusal with its name, got {status}: {answer}")
    print(f"  a row without {names[0]} is refused with its name")


def _post(url: str, body: Any) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/predict", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            urllib.request.urlopen(f"{url}/healthz", timeout=10).close()
        except OSError:
            if time.monotonic() > deadline:
                sys.exit(f"{url} does not answer")
            time.sleep(0.5)
        else:
            return


if __name__ == "__main__":
    main(sys.argv[1])
