"""The launches section: the changes of the platform, told by whoever makes them."""
