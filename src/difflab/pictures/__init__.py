"""What diffusion does, drawn: a picture a file, each with the numbers that it shows."""
