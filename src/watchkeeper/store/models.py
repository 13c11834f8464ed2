"""The tables. What is declared here is exactly what the migrations build (tests/store/test_migrations.py).

Times are aware UTC moments on this side and integer microseconds in the file. The journal's two tables are
append-only: triggers in the database refuse UPDATE and DELETE.
"""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from watchkeeper.store.types import CanonicalJson, RowId, SampleValue, UtcMicros

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

journal = Table(
    "journal",
    metadata,
    Column("seq", RowId, primary_key=True, autoincrement=False),  # 1, 2, 3, ... without gaps
    Column("at", UtcMicros, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("facts", CanonicalJson, nullable=False),
    Column("hash", Text, nullable=False),  # SHA-256, hex, over this entry and the hash before it
    Index("ix_journal_subject_seq", "subject", "seq"),
    Index("ix_journal_kind_seq", "kind", "seq"),
    Index("ix_journal_at", "at"),
)

journal_clauses = Table(
    "journal_clauses",
    metadata,
    Column("seq", RowId, ForeignKey("journal.seq"), primary_key=True),
    Column("clause", Text, primary_key=True),
    Column("verdict", Text, nullable=False),
    CheckConstraint("verdict IN ('met', 'missed', 'waived', 'unknown')", name="verdict"),
    Index("ix_journal_clauses_clause_seq", "clause", "seq"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("fingerprint", Text, primary_key=True),  # stable hash of alertname + labels
    Column("rule", Text, nullable=False),
    Column("alertname", Text, nullable=False),
    Column("clause", Text),
    Column("severity", Text, nullable=False),
    Column("labels", CanonicalJson, nullable=False),
    Column("annotations", CanonicalJson, nullable=False),
    Column("state", Text, nullable=False),  # pending | firing | resolved
    Column("active_at", UtcMicros),  # the condition became true
    Column("fired_at", UtcMicros),  # it had been true for the rule's `for`
    Column("resolved_at", UtcMicros),
    Column("keep_firing_since", UtcMicros),  # false since then, held by `keep_firing_for`
    Column("last_seen_at", UtcMicros),  # the last evaluation that returned it
    Column("last_value", SampleValue),
    Column("last_sent_at", UtcMicros),
    Column("acked_at", UtcMicros),
    Column("acked_by", Text),
    Column("inhibited_by", Text),  # fingerprint of the alert that speaks for it
    Column("group_key", Text),
    Column("episode", Text),  # id of one pending-to-resolved life; part of the receivers' dedup_key
    Column("episode_starts_at", UtcMicros),
    CheckConstraint("state IN ('pending', 'firing', 'resolved')", name="state"),
    Index("ix_alerts_state", "state"),
    Index("ix_alerts_rule", "rule"),
    Index("ix_alerts_group_key", "group_key"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("receiver", Text, nullable=False),
    Column("order_key", Text, nullable=False),  # rows of one receiver and order_key go out in order of id
    Column("dedup_key", Text, nullable=False),  # the receiver's key of the incident
    Column("coalesce_key", Text),  # see outbox.enqueue
    Column("priority", Integer, nullable=False),  # lower goes first
    Column("payload", CanonicalJson, nullable=False),
    Column("state", Text, nullable=False),  # pending | delivered | dead | superseded
    Column("enqueued_at", UtcMicros, nullable=False),
    Column("due_at", UtcMicros, nullable=False),
    Column("scheduled_at", UtcMicros, nullable=False),  # when due_at was set: shows a clock that went back
    Column("give_up_at", UtcMicros),  # NULL: never
    Column("attempts", Integer, nullable=False),
    Column("last_error", Text),
    Column("claims", Integer, nullable=False),  # fencing token: grows with every claim
    Column("claimed_by", Text),
    Column("claimed_at", UtcMicros),
    Column("claim_expires_at", UtcMicros),
    Column("settled_at", UtcMicros),
    CheckConstraint("state IN ('pending', 'delivered', 'dead', 'superseded')", name="state"),
    Index("ix_outbox_receiver_state_order_key_id", "receiver", "state", "order_key", "id"),
    Index("ix_outbox_receiver_state_priority_due_at_id", "receiver", "state", "priority", "due_at", "id"),
    Index("ix_outbox_state_settled_at", "state", "settled_at"),
    Index("ix_outbox_dedup_key", "dedup_key"),
    sqlite_autoincrement=True,  # an id, once used, is never used again: it is the idempotency key
)

receiver_state = Table(
    "receiver_state",
    metadata,
    Column("receiver", Text, primary_key=True),
    Column("sent", CanonicalJson, nullable=False),  # [[unix second, sends begun in it], ...], last minute
    Column("consecutive_failures", Integer, nullable=False),
    Column("blocked_until", UtcMicros),
    Column("blocked_at", UtcMicros),  # when blocked_until was set
    Column("failing_since", UtcMicros),
    Column("failing_journaled", Integer, nullable=False),  # 1: the journal knows of this failure
    Column("recovered_at", UtcMicros),
    Column("last_success_at", UtcMicros),
    Column("last_error", Text),
)

section_state = Table(
    "section_state",
    metadata,
    Column("section", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("document", CanonicalJson, nullable=False),  # what the section must remember through a restart
)

silences = Table(
    "silences",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("matchers", CanonicalJson, nullable=False),  # [[label, operator, value], ...], all must hold
    Column("starts_at", UtcMicros, nullable=False),
    Column("ends_at", UtcMicros, nullable=False),
    Column("owner", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", UtcMicros, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("ended_at", UtcMicros),  # somebody ended it early
    Column("reminded_at", UtcMicros),
    Column("closed_at", UtcMicros),  # the journal has seen its end
    Index("ix_silences_closed_at", "closed_at"),
    sqlite_autoincrement=True,  # the journal names silences by their number
)

oncall_overrides = Table(
    "oncall_overrides",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("rota", Text, nullable=False),  # ids of the runbook, which may have changed since
    Column("contact", Text, nullable=False),
    Column("starts_at", UtcMicros, nullable=False),
    Column("ends_at", UtcMicros, nullable=False),
    Column("reason", Text),
    Column("created_at", UtcMicros, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("cancelled_at", UtcMicros),
    Column("cancelled_by", Text),
    CheckConstraint("starts_at < ends_at", name="forwards"),
    Index("ix_oncall_overrides_rota_ends_at", "rota", "ends_at"),
    sqlite_autoincrement=True,  # people cancel by id: one that was used is never used again
)

users = Table(
    "users",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("username", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("password_hash", Text),  # NULL: comes in by a link only
    Column("created_at", UtcMicros, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("disabled_at", UtcMicros),
    Column("password_changed_at", UtcMicros),
    UniqueConstraint("username"),
    CheckConstraint("role IN ('viewer', 'responder', 'admin')", name="role"),
    sqlite_autoincrement=True,  # the id of somebody who was there is never somebody else's
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", Text, primary_key=True),  # SHA-256, hex; the token itself is kept nowhere
    Column("user_id", RowId, ForeignKey("users.id"), nullable=False),
    Column("created_at", UtcMicros, nullable=False),
    Column("seen_at", UtcMicros, nullable=False),
    Column("expires_at", UtcMicros, nullable=False),
    Column("via", Text, nullable=False),  # password | link
    Column("user_agent", Text, nullable=False),
    CheckConstraint("via IN ('password', 'link')", name="via"),
    Index("ix_sessions_user_id", "user_id"),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),
    Column("token_hash", Text, nullable=False),
    Column("scopes", CanonicalJson, nullable=False),
    Column("created_at", UtcMicros, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", UtcMicros, nullable=False),
    Column("last_used_at", UtcMicros),
    Column("revoked_at", UtcMicros),
    Column("revoked_by", Text),
    UniqueConstraint("token_hash"),
    sqlite_autoincrement=True,  # the journal names tokens by their number too
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("user_id", RowId, ForeignKey("users.id")),  # NULL: whoever becomes the first admin
    Column("role", Text, nullable=False),
    Column("created_at", UtcMicros, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", UtcMicros, nullable=False),
    Column("used_at", UtcMicros),
    CheckConstraint("role IN ('viewer', 'responder', 'admin')", name="role"),
)

sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("key", Text, primary_key=True),  # user:<name> or from:<address>
    Column("failures", Integer, nullable=False),  # of the streak that goes on
    Column("first_at", UtcMicros, nullable=False),
    Column("last_at", UtcMicros, nullable=False),
    Column("blocked_until", UtcMicros),
)

escalations = Table(
    "escalations",
    metadata,
    Column("dedup_key", Text, primary_key=True),  # the page's: alerts.group_key
    Column("rota", Text),  # NULL: the runbook has none, only the deadline is watched
    Column("state", Text, nullable=False),  # open | acknowledged | ended
    Column("paged_at", UtcMicros, nullable=False),  # the deadline counts from here
    Column("started_at", UtcMicros, nullable=False),  # the first step was due
    Column("step", Integer, nullable=False),  # the next one to be told, from 0
    Column("round", Integer, nullable=False),
    Column("due_at", UtcMicros),  # NULL: nothing more by itself
    Column("scheduled_at", UtcMicros, nullable=False),  # when due_at was set: shows a clock that went back
    Column("verdict", Text),  # of the deadline, once it is known
    Column("acked_at", UtcMicros),
    Column("acked_by", Text),
    Column("ended_at", UtcMicros),
    Column("told", CanonicalJson, nullable=False),  # [[contact, receiver, address or null], ...]
    Column("about", CanonicalJson, nullable=False),  # the notification, in the words told last
    Column("problem", Text),  # why nobody is paged any more, for people
    CheckConstraint("state IN ('open', 'acknowledged', 'ended')", name="state"),
    Index("ix_escalations_due_at", "due_at"),
    Index("ix_escalations_state", "state"),
)

contact_ways = Table(
    "contact_ways",
    metadata,
    Column("contact", Text, primary_key=True),
    Column("way", Text, primary_key=True),  # email:<address>, slack:<id>, receiver:<id>
    Column("code_hash", Text),  # of the code that was sent; NULL: there is none to be confirmed
    Column("asked_at", UtcMicros, nullable=False),
    Column("attempts", Integer, nullable=False),  # wrong codes since then
    Column("verified_at", UtcMicros),
    Column("verified_by", Text),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("epoch", Integer, nullable=False),  # fencing token: grows whenever the owner changes
    Column("acquired_at", UtcMicros, nullable=False),
    Column("expires_at", UtcMicros, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),  # <playbook>-<moment>, or <job>@<due> so that a schedule fires once
    Column("playbook", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("subject", Text),  # what it is for: incident:12, alert:<fingerprint>, job:<name>
    Column("definition", CanonicalJson, nullable=False),  # the playbook as it was when the run began
    Column("definition_hash", Text, nullable=False),  # SHA-256, hex, of that
    Column("inputs", CanonicalJson, nullable=False),
    Column("state", Text, nullable=False),  # active | waiting | done | failed | aborted
    Column("progress", CanonicalJson, nullable=False),  # what is recorded of each step, and where it stands
    Column("answers", CanonicalJson, nullable=False),  # what people said that the runner has not read yet
    Column("wakes", Integer, nullable=False),  # grows with every answer: none is lost while a run parks
    Column("due_at", UtcMicros),  # when somebody must look at it; NULL: never by itself
    Column("scheduled_at", UtcMicros, nullable=False),  # when due_at was set: shows a clock that went back
    Column("owner", Text),
    Column("epoch", Integer, nullable=False),  # fencing token: grows with every claim
    Column("lease_expires_at", UtcMicros),
    Column("started_at", UtcMicros, nullable=False),
    Column("started_by", Text, nullable=False),
    Column("ended_at", UtcMicros),
    Column("problem", Text),  # why it waits or failed, for people
    CheckConstraint("state IN ('active', 'waiting', 'done', 'failed', 'aborted')", name="state"),
    Index("ix_runs_state_due_at", "state", "due_at"),
    Index("ix_runs_subject", "subject"),
    Index("ix_runs_playbook_started_at", "playbook", "started_at"),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("title", Text, nullable=False),
    Column("state", Text, nullable=False),  # open | mitigated | resolved | closed | merged
    Column("severity", Text),  # of the runbook; NULL until triage
    Column("service", Text),  # what it is about: alerts of the same join it
    Column("env", Text),
    Column("region", Text),
    Column("scope", Text, nullable=False),  # affected scope, in words
    Column("impact", Text, nullable=False),  # on customers, in words
    Column("status", Text, nullable=False),  # investigating | identified | monitoring | resolved
    Column("eta", Text, nullable=False),
    Column("public", Integer, nullable=False),  # 1: the status page shows it
    Column("components", CanonicalJson, nullable=False),  # which parts of the status page
    Column("commander", Text),
    Column("communications", Text),
    Column("scribe", Text),
    Column("detected_at", UtcMicros, nullable=False),  # the first signal crossed its line
    Column("opened_at", UtcMicros, nullable=False),
    Column("opened_by", Text, nullable=False),
    Column("acknowledged_at", UtcMicros),
    Column("acknowledged_by", Text),
    Column("triaged_at", UtcMicros),
    Column("mitigated_at", UtcMicros),
    Column("resolved_at", UtcMicros),
    Column("resolved_by", Text),
    Column("closed_at", UtcMicros),
    Column("closed_by", Text),
    Column("merged_into", RowId, ForeignKey("incidents.id")),
    Column("document", CanonicalJson, nullable=False),  # what people wrote, by section
    Column("threads", CanonicalJson, nullable=False),  # where receivers keep what was said of it
    Column("revision", Integer, nullable=False),  # grows with every change: two people never overwrite
    CheckConstraint("state IN ('open', 'mitigated', 'resolved', 'closed', 'merged')", name="state"),
    CheckConstraint("status IN ('investigating', 'identified', 'monitoring', 'resolved')", name="status"),
    Index("ix_incidents_state", "state"),
    Index("ix_incidents_opened_at", "opened_at"),
    sqlite_autoincrement=True,  # people speak of incidents by their number
)

incident_alerts = Table(
    "incident_alerts",
    metadata,
    Column("incident_id", RowId, ForeignKey("incidents.id"), primary_key=True),
    Column("fingerprint", Text, primary_key=True),
    Column("episode", Text, primary_key=True),
    Column("alertname", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("labels", CanonicalJson, nullable=False),
    Column("clause", Text),
    Column("active_at", UtcMicros),
    Column("fired_at", UtcMicros),
    Column("joined_at", UtcMicros, nullable=False),
    Column("resolved_at", UtcMicros),
    Column("because", Text, nullable=False),  # why it belongs to this incident
    Column("ended", Text, nullable=False),  # why it resolved, for people
    Column("at_baseline", Integer, nullable=False),  # 1: it resolved because its signal was measured well
    Column("group_key", Text),  # of the notification that it shared with others
    Index("ix_incident_alerts_fingerprint_episode", "fingerprint", "episode"),
    Index("ix_incident_alerts_group_key", "group_key"),
)

alert_ratings = Table(
    "alert_ratings",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("episode", Text, primary_key=True),
    Column("alertname", Text, nullable=False),
    Column("service", Text),
    Column("useful", Integer, nullable=False),  # 1: it was worth being woken for
    Column("note", Text, nullable=False),
    Column("at", UtcMicros, nullable=False),
    Column("by", Text, nullable=False),
    Index("ix_alert_ratings_at", "at"),
)

incident_updates = Table(
    "incident_updates",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("incident_id", RowId, ForeignKey("incidents.id"), nullable=False),
    Column("at", UtcMicros, nullable=False),
    Column("by", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("severity", Text),
    Column("impact", Text, nullable=False),
    Column("eta", Text, nullable=False),
    Column("note", Text, nullable=False),  # for engineers
    Column("next_update_at", UtcMicros),
    Column("said", CanonicalJson, nullable=False),  # {audience: the words it was told}
    Column("told", CanonicalJson, nullable=False),  # [[audience, whom, receiver, address, outbox.id], ...]
    Index("ix_incident_updates_incident_id_id", "incident_id", "id"),
    sqlite_autoincrement=True,  # the number is in the key by which receivers know it
)

follow_ups = Table(
    "follow_ups",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("incident_id", RowId, ForeignKey("incidents.id"), nullable=False),
    Column("title", Text, nullable=False),
    Column("owner", Text),
    Column("due_on", UtcMicros),
    Column("url", Text),
    Column("created_at", UtcMicros, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("done_at", UtcMicros),
    Column("done_by", Text),
    Index("ix_follow_ups_incident_id", "incident_id"),
    Index("ix_follow_ups_done_at_due_on", "done_at", "due_on"),
    sqlite_autoincrement=True,
)

deadlines = Table(
    "deadlines",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("clause", Text, nullable=False),
    Column("subject", Text, nullable=False),  # incident:12, drill:3
    Column("title", Text, nullable=False),
    Column("state", Text, nullable=False),  # running | met | missed | waived | void
    Column("starts_at", UtcMicros, nullable=False),
    Column("warn_at", UtcMicros, nullable=False),  # 80 % of its time
    Column("due_at", UtcMicros, nullable=False),
    Column("look_at", UtcMicros),  # when the next of these is; NULL: it is settled
    Column("scheduled_at", UtcMicros, nullable=False),  # when look_at was set: shows a clock that went back
    Column("warned_at", UtcMicros),
    Column("settled_at", UtcMicros),
    Column("settled_by", Text),
    Column("reason", Text, nullable=False),
    CheckConstraint("state IN ('running', 'met', 'missed', 'waived', 'void')", name="state"),
    Index("ix_deadlines_look_at", "look_at"),
    Index("ix_deadlines_subject_clause", "subject", "clause"),
    sqlite_autoincrement=True,
)

changes = Table(
    "changes",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("key", Text, nullable=False),  # whoever reports a change twice says the same
    Column("kind", Text, nullable=False),  # deploy | configuration | launch | drill | maintenance
    Column("at", UtcMicros, nullable=False),
    Column("title", Text, nullable=False),
    Column("service", Text),
    Column("env", Text),
    Column("region", Text),
    Column("version", Text),
    Column("by", Text, nullable=False),
    Column("url", Text),
    Column("details", CanonicalJson, nullable=False),
    Column("recorded_at", UtcMicros, nullable=False),
    UniqueConstraint("key"),
    Index("ix_changes_at", "at"),
    sqlite_autoincrement=True,
)

jobs = Table(
    "jobs",
    metadata,
    Column("name", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("schedule", Text, nullable=False),  # as one line: store/cron.py reads it back
    Column("due_at", UtcMicros, nullable=False),  # the next time it is to run
    Column("scheduled_at", UtcMicros, nullable=False),  # when due_at was set: shows a clock that went back
    Column("running_since", UtcMicros),
    Column("running_due", UtcMicros),  # which of its times is being run
    Column("attempt", Integer, nullable=False),  # of that time, from 1; 0: none
    Column("owner", Text),
    Column("epoch", Integer, nullable=False),  # fencing token: grows with every claim
    Column("lease_expires_at", UtcMicros),
    Column("last_due", UtcMicros),
    Column("last_started_at", UtcMicros),
    Column("last_ended_at", UtcMicros),
    Column("last_outcome", Text),  # done | failed | timed out | stopped | lost
    Column("last_error", Text),
    Column("paused_by", Text),
    Index("ix_jobs_due_at", "due_at"),
)

APPEND_ONLY = (journal, journal_clauses)
