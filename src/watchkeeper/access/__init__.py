"""Who may come in and what they may do: accounts, sessions, API tokens, one-time links, throttling."""
