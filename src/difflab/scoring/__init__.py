"""From pictures anywhere to figures: what is scored (sources.py), against what (references.py), in shards on disk."""
