"""Figures of sample quality: features of pictures, distances between sets of features, and their protocol."""
