"""GEEMS: everything that decides and acts."""
