"""Pictures in memory, where they come from, and the endless stream that training reads."""
