"""The pure modules of the `edw` command."""
