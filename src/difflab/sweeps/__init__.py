"""Many jobs from one command: `difflab VERB -m`.

settings.py     the sweep's own words and the verb's
expand.py       the verb's words, by Hydra's grammar, as jobs
plan.py         both as a sweep: what is swept, and where it lies
folder.py       runs/sweeps/<label>/: the contract of sweep.json, status.json and a folder a job
table.py        what came of it
train.py        a verb's sweep, with checks.py (before anything runs), budgets.py (minutes as images),
                attempt.py and drive.py (jobs at work), processes.py and launchers.py (where)
evaluate.py     the other verb's, in one process, with scoring.py (a job), axis.py and curves.py (figures against a
                swept number), best.py (which to take) and conclusion.py (what it ends with)
"""
