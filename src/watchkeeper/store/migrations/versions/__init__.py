"""One module per revision, oldest first. A revision never changes once it was released."""
