"""What evaluating twelve runbook rules over 100,000 series costs, beside Prometheus on the same scrape.

Both scrape the same 20 targets (unaligned, 1 % of series replaced per minute) every 15 s, at the same time on
the same machine. First without rules until five-minute windows are full, then with the rules: both read their
configuration again on SIGHUP. The CPU of an evaluation is what the process used more, per second, with the rules
than without, times the interval; so parsing, storing and everything else cancels out for both. The rules are
those that the runbook compiles to, exported for Prometheus by ``watchkeeper rules export``.
"""
