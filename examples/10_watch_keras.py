"""The vital signs of Keras 3 on the torch backend: one callback. Needs `pip install 'equipoise[keras]'`."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
from sklearn.datasets import load_digits

from equipoise.vitals.adapters.keras import WatchCallback
from equipoise.vitals.window import Window

digits = load_digits()
inputs, targets = digits.data.astype("float32"), digits.target  # from 0 to 16: nobody scaled them
keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((64,)),
        keras.layers.Dense(32, activation="sigmoid", name="first"),
        keras.layers.Dense(32, activation="sigmoid", name="second"),
        keras.layers.Dense(10, name="answer"),
    ]
)
model.compile(optimizer="adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))

windows: list[Window] = []
watching = WatchCallback(on_window=windows.append)
model.fit(inputs, targets, batch_size=64, epochs=3, verbose=0, callbacks=[watching])

first = windows[0]
for number, layer in enumerate(first.layers):
    saturated = np.nanmean(first.activation["saturated"][:, number]) if layer.activation == "sigmoid" else 0.0
    gradient = first.gradient["norm"][0, [one.layer for one in first.weights].index(layer.name)]
    print(f"{layer.name:<7} {layer.activation or 'linear':<8} saturated {saturated:.0%}, first gradient {gradient:.4f}")
for symptom in watching.vitals.symptoms():
    print(f"{symptom.verdict}: {symptom.claim}")
