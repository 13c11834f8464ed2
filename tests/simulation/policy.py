"""The runbook of the simulated deployment: few rules, of every kind that decides in its own way."""

from __future__ import annotations

from functools import cache

from watchkeeper.app.policy import check_expr
from watchkeeper.runbook.loading import LoadedRunbook, load_bytes

SERVICES = ("web", "api", "worker", "search", "billing", "db", "queue", "batch")
PEOPLE = ("ada", "ben", "cleo")
WEBHOOK_SECRET, ROUTING_KEY = "SIMULATED_WEBHOOK_SECRET", "SIMULATED_ROUTING_KEY"
CHAT, PHONE_SECRET = "SIMULATED_CHAT", "SIMULATED_PHONE_SECRET"
ENVIRON = {
    WEBHOOK_SECRET: "shared with the pager",
    ROUTING_KEY: "0123456789abcdef0123456789abcdef",
    CHAT: "https://chat.example/hook",
    PHONE_SECRET: "shared with the phones",
}
PAGER_URL = "https://pager.example/v2/enqueue"

TEXT = """
runbook: 1
platform: Simulated Island
metrics: {evaluation_interval: 30s}
notifications:
  receivers:
    - id: pager
      pagerduty:
        routing_key: {env: SIMULATED_ROUTING_KEY}
        url: https://pager.example/v2/enqueue
        webhook_secret: {env: SIMULATED_WEBHOOK_SECRET}
    - {id: chat, slack: {webhook_url: {env: SIMULATED_CHAT}}}
    - {id: ada-phone, webhook: {url: https://ada.example/page, secret: {env: SIMULATED_PHONE_SECRET}}}
    - {id: ben-phone, webhook: {url: https://ben.example/page}}
    - {id: cleo-phone, webhook: {url: https://cleo.example/page}, send_resolved: false}
  grouping: {storm: 6}
  repeat_interval: 4h
  routes:
    - {match: {severity: page}, receivers: [pager, chat]}
    - {match: {severity: warn}, receivers: [chat], grouping: {by: [alertname], wait: 30s, interval: 5m}}
contacts:
  - {id: ada, name: Ada, receivers: [ada-phone]}
  - {id: ben, name: Ben, receivers: [ben-phone]}
  - {id: cleo, name: Cleo, receivers: [cleo-phone]}
oncall:
  acknowledgement_lasts: 1h
  rotas:
    - id: platform
      title: Platform
      layers:
        - {id: weekly, participants: [ada, ben, cleo], start: "2026-01-05T09:00:00+00:00"}
incidents:
  severities:
    - {id: SEV-1, definition: All is lost}
    - {id: SEV-2, definition: Much is lost}
    - {id: SEV-3, definition: Something is lost}
  deadlines: {acknowledge: 5m, triage: 10m, document: 24h,
              update: {every: 15m, severities: [SEV-1, SEV-2], channel: "#status"}}
  stakeholders: [{id: product, title: product, contacts: [cleo], severities: [SEV-1]}]
  audiences:
    - {id: internal, title: Inside, stakeholders: [product], template: "{{ severity }}: {{ impact }}"}
  document: {sections: [root cause]}
playbooks:
  mend:
    title: Mend
    steps:
      - {id: look, probe: process.run, with: {command: [mend]}, expect: {ok: true}}
      - {id: drain, action: process.run, with: {command: [mend]}, on_doubt: retry}
      - {id: scale, action: process.run, with: {command: [mend]}, on_doubt: probe}
      - {id: check, manual: Is it well?}
      - {id: done, action: process.run, with: {command: [mend]}, on_doubt: retry}
monitoring:
  missing: {after: 5m}
  inhibition:
    causes:
      - {cause: data.saturation, symptom: api.latency, equal: [env, region], reason: the database is slow}
  maintenance:
    - {id: batch, title: Batch, match: service=batch, every: weekly, weekday: sunday, at: "02:00", for: 2h}
  layers:
    - id: api
      title: API
      signals:
        - id: errors
          title: Errors
          unit: count
          expr: errors
          warn: {above: 3, for: 5m}
          page: {above: 5, for: 2m, clear: 4}
        - {id: latency, title: Latency, expr: latency, page: {above: 2, for: 5m, keep_firing_for: 5m}}
    - id: data
      title: Data
      signals:
        - {id: saturation, title: Saturation, expr: saturation, page: {above: 90}}
        - {id: heartbeat, title: Heartbeat, expr: heartbeat, missing: {after: 5m, as: page}}
        - {id: shown, title: Shown, expr: shown}
"""


@cache
def simulated() -> LoadedRunbook:
    """The runbook, judged as every role judges it."""
    return load_bytes("runbook.yaml", TEXT.encode(), check_expr=check_expr)
