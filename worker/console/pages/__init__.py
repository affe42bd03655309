"""The pages: a function for each answer, which reads the ledger and fills a template."""
