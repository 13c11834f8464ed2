"""The composition root: reads settings, builds the parts, wires the sections together, runs the roles."""
