"""Events: accept them into the inbox, load them to be observed, and take messages from the plain queue."""
