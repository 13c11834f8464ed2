"""Who is on call: rotas computed from the runbook, and the overrides that people make."""
