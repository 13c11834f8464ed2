"""The command line: one module per noun, each importing what it runs only when it runs."""
