"""Choices: would another optimiser, activation, loss or family of networks do better?"""
