"""Jobs and their lanes: opened, claimed, settled with a log, and reopened."""
