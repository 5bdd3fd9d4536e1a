"""Latents: diffusion of what an autoencoder makes of the pictures (2112.10752), and the autoencoder itself."""
