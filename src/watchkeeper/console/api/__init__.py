"""The JSON API: everything that pages can do, for programs and for the command line with ``--server``."""
