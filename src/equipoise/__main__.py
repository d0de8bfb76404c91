"""Lets `python -m equipoise` do what the command does."""

from equipoise.cli.app import main

main()
