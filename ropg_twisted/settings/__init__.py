"""How one daemon is told what to do."""
