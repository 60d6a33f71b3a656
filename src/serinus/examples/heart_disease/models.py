"""The patients, and three versions of a model of them: a sound one, one that breaks on live data, a tuned one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the libraries of an extra
    import pandas as pd

LIBRARIES = ("pandas", "sklearn", "skops")
"""What training needs besides the server's own libraries: the extra ``demo``."""

TARGET = "num"
CLASS_NAMES = ("no disease", "disease")
CATEGORIES = ("cp", "restecg", "slope", "ca", "thal")
"""Columns whose numbers are codes. ``ca`` and ``thal`` are missing for six patients."""

HELD_OUT = 0.25
SEED = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained version; ``accuracy`` is its share of right answers on ``held_out`` patients of its own data."""

    name: str
    estimator: Any
    training: "pd.DataFrame"
    accuracy: float
    held_out: int
    description: str
    parameters: Mapping[str, object] = field(default_factory=dict)

    @property
    def dataset_digest(self) -> str:
        """The digest of the training data as CSV."""
        return f"sha256:{sha256(self.training.to_csv(index=False).encode()).hexdigest()}"


def patients() -> "pd.DataFrame":
    """Read all 303 patients: 13 features and the target."""
    import pandas as pd

    with as_file(files(__package__) / "heart_cleveland.csv") as path:
        return pd.read_csv(path)


def features_of(people: "pd.DataFrame") -> list[dict[str, object]]:
    """Give what a caller sends about each patient."""
    return [{str(name): value for name, value in row.items()} for row in people.drop(columns=TARGET).to_dict("records")]


def train() -> tuple[Candidate, Candidate, Candidate]:
    """Train the three versions on the same 227 patients and hold out the same 76, as far as each has them."""
    from sklearn.model_selection import train_test_split

    everybody = patients()
    training, held_out = train_test_split(everybody, test_size=HELD_OUT, stratify=everybody[TARGET], random_state=SEED)
    return (
        _fitted("v1", _plain(1.0), training, held_out, "logistic regression on numbers"),
        _fitted("v2", _strict_one_hot(), _extract(training), _extract(held_out), "one-hot codes, tidy extract"),
        _fitted("v3", _plain(0.05), training, held_out, "v1, regularised more"),
    )


def refusals(candidate: Candidate, people: "pd.DataFrame") -> int:
    """Count the patients whom a version does not answer, asked about one at a time as a server does."""
    return sum(not _answers(candidate, row) for row in people.drop(columns=TARGET).to_numpy())


def _answers(candidate: Candidate, row: object) -> bool:
    try:
        candidate.estimator.predict([row])
    except ValueError:  # what scikit-learn raises at a value it cannot take
        return False
    return True


def _extract(people: "pd.DataFrame") -> "pd.DataFrame":
    """Keep the tidy part: no value missing, and none of three codes that only some hospitals see."""
    return people[people.notna().all(axis=1) & (people["ca"] != 3) & (people["thal"] != 6) & (people["slope"] != 3)]  # noqa: PLR2004 - codes


def _plain(C: float) -> Any:  # noqa: N803 - its name in scikit-learn
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(SimpleImputer(strategy="most_frequent"), StandardScaler(), LogisticRegression(C=C))


def _strict_one_hot() -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = patients().columns.drop(TARGET)
    codes = [place for place, name in enumerate(columns) if name in CATEGORIES]
    numbers = [place for place, name in enumerate(columns) if name not in CATEGORIES]
    encoder = OneHotEncoder(handle_unknown="error", sparse_output=False)
    return make_pipeline(
        make_column_transformer((encoder, codes), (StandardScaler(), numbers)), LogisticRegression(max_iter=1000)
    )


def _fitted(
    name: str, estimator: Any, training: "pd.DataFrame", held_out: "pd.DataFrame", description: str
) -> Candidate:
    # Arrays, for a row of one is then answered in half the time that a table takes.
    estimator.fit(training.drop(columns=TARGET).to_numpy(), training[TARGET])
    accuracy = float(estimator.score(held_out.drop(columns=TARGET).to_numpy(), held_out[TARGET]))
    parameters = {
        "steps": [step for step, _ in estimator.steps],
        "seed": SEED,
        "training_rows": len(training),
        "held_out_rows": len(held_out),
    }
    return Candidate(name, estimator, training, accuracy, len(held_out), description, parameters)
