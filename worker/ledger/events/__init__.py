"""Events: accepted into the inbox, loaded from it to be observed, taken from the plain queue."""
