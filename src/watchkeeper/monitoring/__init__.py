"""Detect: scrape targets, store samples, evaluate rules, decide alerts."""
