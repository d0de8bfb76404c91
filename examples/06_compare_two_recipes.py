"""Two recipes on the same data and seed, compared with intervals."""

import equipoise
from equipoise.report.compare import compare, comparison_text

plan = equipoise.plan("breast-cancer").replace(recipe__epochs=20)
reports = [
    equipoise.examine(equipoise.fit(one), select=["accuracy", "overfitting", "calibration"])
    for one in (plan, plan.replace(recipe__optimizer="sgd", recipe__learning_rate=0.001))
]
print(comparison_text(compare(*reports)))
