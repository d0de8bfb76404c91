"""Your own question, asked beside the built-in ones; `plugins/example` is the same as an installable package."""

import importlib.util
from pathlib import Path

import equipoise
from equipoise.testing import best_classifier, check_question

path = Path(__file__).parents[1] / "plugins" / "example" / "equipoise_logit_scale.py"
spec = importlib.util.spec_from_file_location("equipoise_logit_scale", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

check_question(module.LOGIT_SCALE, best_classifier())
fit = equipoise.fit(equipoise.plan("wine").replace(recipe__epochs=10))
report = equipoise.examine(fit, plugins=[module.LOGIT_SCALE], select=["x-logit-scale"])
print(report.findings[0].claim)
