"""The status page: the state of the daemon, what is wrong with it, and its HTML."""
