"""Playbooks: what a run is, what comes next in it, and the durable runner that carries it out."""
