"""From the words of a command line to a configuration, and from its nodes to objects.

compose.py      a verb's words as one configuration, with errors worth reading (wording.py, validate.py)
composition.py  what Hydra makes of them, remembered
of_the_run.py   what a verb takes over from a run
resolved.py     configurations that are resolved already: of a run that goes on, of a file
tree.py         what conf/ holds
instantiate.py  a node as an object, from trusted places only
"""
