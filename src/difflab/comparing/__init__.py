"""How runs differ, as settings and as tables."""
