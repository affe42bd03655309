"""Jobs and their lanes: open, claim, settle with a log, and reopen."""
