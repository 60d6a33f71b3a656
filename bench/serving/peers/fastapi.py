"""A plain FastAPI app: the model in a `def` endpoint, which FastAPI calls in its thread pool."""

import sys

import numpy as np
import uvicorn
from bench.serving.peers.patient import Patient
from bench.serving.predictor import load
from fastapi import FastAPI
from pydantic import BaseModel

port, model, _ = sys.argv[1:]
model_predict = load(model)
app = FastAPI()


class Request(BaseModel):
    """Who is asked about."""

    features: Patient


class Prediction(BaseModel):
    """What the model says."""

    prediction: int


@app.post("/predict")
def predict(request: Request) -> Prediction:
    """Tell whether a patient is ill."""
    return Prediction(prediction=int(model_predict(np.array([request.features.row]))[0]))


uvicorn.run(app, host="127.0.0.1", port=int(port), loop="uvloop", http="httptools", access_log=False)
