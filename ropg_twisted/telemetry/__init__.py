"""Log, audit log and metrics for operators."""
