-- now: the ledger's time.
-- Returns it (ms since 1970).
return NOW
