"""Make `tickets.csv` and `visits.csv`: invented data, the same on every run.

Run it in this folder: `python make_examples.py`.
"""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

import numpy as np

TEAMS = {
    "billing": ["invoice", "refund", "payment", "card", "charged twice", "price"],
    "delivery": ["parcel", "courier", "address", "late", "tracking number", "box"],
    "technical": ["password", "login", "error", "app", "update", "screen"],
}
OPENINGS = ["Hello, I have a question about my", "Since Monday there is trouble with the", "Please look at the"]
MIDDLES = [
    *("it does not work as I expected", "nobody answered me so far"),
    *("I tried it three times", "thanks for your help"),
]
ENDS = {
    "urgent": "I need this today, it is urgent",
    "angry": "I am very disappointed",
    "returning": "as I wrote before",
}
CHANNELS = ["mail", "chat", "phone"]


def make_tickets(rows: int = 400) -> list[dict[str, object]]:
    """Return support messages with their team, their tags and the hours until they were solved."""
    random = np.random.default_rng(20)
    tickets = []
    for _ in range(rows):
        team = str(random.choice(list(TEAMS)))
        # Every third word is another team's, as people write about more than one thing.
        teams = [team if random.random() < 0.7 else str(random.choice(list(TEAMS))) for _ in range(2)]
        words = [str(random.choice(TEAMS[each])) for each in teams]
        tags = [tag for tag in ENDS if random.random() < 0.35]
        parts = [f"{random.choice(OPENINGS)} {words[0]} and the {words[1]}", str(random.choice(MIDDLES))]
        parts += [ENDS[tag] for tag in tags]
        channel, age = str(random.choice(CHANNELS)), int(random.integers(18, 80))
        hours = 30 + 25 * (team == "technical") - 14 * ("urgent" in tags) - 8 * (channel == "phone") + 0.2 * age
        tickets.append(
            {
                "message": ", ".join(parts) + ".",
                "channel": channel,
                "age": age if random.random() > 0.05 else "",
                "team": team,
                "tags": "|".join(tags),
                "hours": round(float(hours + random.normal(0, 4)), 1),
            }
        )
    return tickets


def make_visits(days: int = 400) -> list[dict[str, object]]:
    """Return daily visits of two museums: a week's rhythm, a slow trend, and more on holidays."""
    random = np.random.default_rng(21)
    visits = []
    for place, level in (("art", 300.0), ("science", 500.0)):
        for day in range(days):
            at = date(2023, 1, 2) + timedelta(days=day)
            holiday = int(random.random() < 0.04)
            week = [0.2, 0.8, 0.9, 1.0, 1.1, 1.8, 1.6][at.weekday()]
            value = level * (1 + 0.3 * day / days) * week * (1 + 0.6 * holiday) + random.normal(0, 0.05 * level)
            visitors = max(0, round(value))
            visits.append({"day": at.isoformat(), "museum": place, "holiday": holiday, "visitors": visitors})
    return visits


def main() -> None:
    """Write both files beside this script."""
    for name, rows in (("tickets.csv", make_tickets()), ("visits.csv", make_visits())):
        with (Path(__file__).parent / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
