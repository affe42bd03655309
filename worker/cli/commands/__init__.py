"""The commands of `edw`: one module for each."""
