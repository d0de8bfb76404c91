"""Questions, and the frame that asks them."""

from equipoise.core.room import make_callable

make_callable(__name__, "equipoise.examine.examine")
