"""What is served over HTTP: Prometheus' reading API, health, our own metrics; later the pages."""
