"""The embedded PromQL engine: Prometheus 3 semantics on floats, vectorised over series and steps."""
