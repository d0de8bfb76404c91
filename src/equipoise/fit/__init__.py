"""The training loop and everything that it is told."""

from equipoise.core.room import make_callable

make_callable(__name__, "equipoise.fit.entry")
