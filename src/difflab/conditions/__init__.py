"""Conditions: what a picture is made for, from a training batch or a user's words to what a network is told."""
