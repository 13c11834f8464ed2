"""A small real platform to watch: PostgreSQL, two S3 clusters, a web service and its worker, under load.

Every figure it publishes is measured, and every fault is real. It listens on loopback only, runs without
root and without containers, and leaves no process and no file behind (``tests/demo/test_leaves_nothing.py``).
"""
