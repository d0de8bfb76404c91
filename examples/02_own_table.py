"""Your own table: Equipoise chooses task, network and recipe, and says why."""

import numpy as np
import pandas as pd

import equipoise

rng = np.random.default_rng(0)
n = 600
area = rng.normal(120, 30, n)
houses = pd.DataFrame(
    {
        "area": np.where(rng.random(n) < 0.1, np.nan, area),
        "district": rng.choice(["north", "south", "harbour"], n),
        "built": pd.Timestamp("1950-01-01") + pd.to_timedelta(rng.integers(0, 25_000, n), unit="D"),
        "price": 3.0 * area + 20.0 * rng.normal(size=n),
    }
)

plan = equipoise.plan(houses, target="price")
for reason in plan.why:
    print("-", reason)
fit = equipoise.fit(plan.replace(recipe__epochs=30), data=houses)
print("stopped:", fit.stopped, "-", fit.stopped.help)
print("price of the first three:", fit.predict(houses.head(3).drop(columns="price")).round(1))
