"""The whole job: plan, fit, examine, write the folder."""

from equipoise.core.room import make_callable

make_callable(__name__, "equipoise.run.job")
