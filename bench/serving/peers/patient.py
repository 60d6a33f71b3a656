"""What a server with typed inputs knows of a request."""

from pydantic import BaseModel


class Patient(BaseModel):
    """A patient's features, in the order of the model's."""

    age: float
    sex: float
    cp: float
    trestbps: float
    chol: float
    fbs: float
    restecg: float
    thalach: float
    exang: float
    oldpeak: float
    slope: float
    ca: float
    thal: float

    @property
    def row(self) -> list[float]:
        """What the model takes."""
        return list(self.__dict__.values())
