"""Where measurements go besides the run directory."""
