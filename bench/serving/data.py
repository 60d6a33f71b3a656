"""The patients whom every server is asked about. Each environment imports this: nothing here but Python itself."""

import csv
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src/serinus/examples/heart_disease/heart_cleveland.csv"

FEATURES = (
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal",
)  # fmt: skip
TARGET = "num"


def patients() -> tuple[list[list[float]], list[int]]:
    """Give the 297 patients of whom everything is known: their features, and whether they are ill."""
    with SOURCE.open(newline="") as file:
        complete = [row for row in csv.DictReader(file) if all(row.values())]
    return [[float(row[name]) for name in FEATURES] for row in complete], [int(row[TARGET]) for row in complete]
