"""Respond: what happens from the first alert to the closed document, and by when."""
