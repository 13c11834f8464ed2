"""The policy: runbook.yaml as typed models, loaded with line-precise errors, linted, rendered for people.

This package imports nothing else of Watchkeeper, and importing it alone imports nothing at all.
"""
