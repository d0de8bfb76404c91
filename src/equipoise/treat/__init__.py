"""What may help a network, tried one by one and believed only when a paired trial says so."""

from equipoise.core.room import make_callable

make_callable(__name__, "equipoise.treat.treat")
