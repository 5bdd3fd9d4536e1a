"""A session of training, whatever is trained: pictures, budget, Lightning, the run directory's lock, the end."""
