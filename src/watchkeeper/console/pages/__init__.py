"""The pages that people read, one module for each; every one reads without a script."""
