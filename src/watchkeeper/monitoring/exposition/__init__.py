"""What targets say: Prometheus' text format 0.0.4 and OpenMetrics 1.0, read strictly and fast.

:mod:`.grammar` is the formats themselves, line by line; :mod:`.layout` splits a whole body with NumPy;
:mod:`.matching` finds the lines that the target sent before; :mod:`.reader` joins them, one per target.
"""
