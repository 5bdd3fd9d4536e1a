"""A run directory: its files, its checkpoints, and the weights in them.

directory.py    the contract between training and everything that comes after it
checkpoints.py  one checkpoint file, nothing unsafe in it
weights.py      the denoiser of a run, with any of its averages (power_weights.py); export_weights.py gives them away
chosen.py       the sampler that a run samples with by default
result.py       result.json
locks.py        one process at a time
"""
