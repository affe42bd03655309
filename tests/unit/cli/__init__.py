"""The pure rooms of the `edw` command."""
