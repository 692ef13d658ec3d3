-- The ledger: decisions and history. Times are ISO 8601 UTC text with microseconds; JSON is text.
-- Changed only by a new numbered migration in migrations.py once a version has been released.

CREATE TABLE IF NOT EXISTS runs (
    id            TEXT PRIMARY KEY,
    job           TEXT NOT NULL,
    cluster       TEXT NOT NULL,
    state         TEXT NOT NULL,
    version       INTEGER NOT NULL,
    args          TEXT NOT NULL,
    queued_at     TEXT NOT NULL,
    queued_by     TEXT NOT NULL,
    request       TEXT REFERENCES requests (id),
    scheduled_for TEXT,
    started_at    TEXT,
    finished_at   TEXT,
    progress_at   TEXT,
    phases        TEXT NOT NULL DEFAULT '[]',
    bytes_done    INTEGER NOT NULL DEFAULT 0,
    bytes_total   INTEGER,
    note          TEXT NOT NULL DEFAULT '',
    result        TEXT,
    error         TEXT,
    process       TEXT,                        -- {"pid", "boot_id", "start_time"} for signals, never for liveness
    UNIQUE (job, cluster, scheduled_for)
) STRICT;
CREATE INDEX IF NOT EXISTS runs_by_state ON runs (state);
CREATE INDEX IF NOT EXISTS runs_by_cluster ON runs (cluster, job, queued_at);

CREATE TABLE IF NOT EXISTS locks (                           -- named locks held by runs; conflicts are decided in model/locks.py
    run  TEXT NOT NULL REFERENCES runs (id),
    name TEXT NOT NULL,                        -- "cluster:slips", "destination:/path", "port:5555", "chain:slips/<id>"
    mode TEXT NOT NULL,
    PRIMARY KEY (run, name)
) STRICT;

CREATE TABLE IF NOT EXISTS requests (
    id             TEXT PRIMARY KEY,
    verb           TEXT NOT NULL,
    cluster        TEXT NOT NULL,
    state          TEXT NOT NULL,
    version        INTEGER NOT NULL,
    requester      TEXT NOT NULL,              -- Person.key
    requester_name TEXT NOT NULL,
    reason         TEXT NOT NULL,
    target         TEXT NOT NULL,              -- JSON of model.targets.Target
    target_text    TEXT NOT NULL,
    destination    TEXT NOT NULL,              -- JSON
    created_at     TEXT NOT NULL,
    changed_at     TEXT NOT NULL,
    expires_at     TEXT,
    quorum         INTEGER NOT NULL,
    steps          TEXT,                       -- JSON of model.plans.Steps
    facts          TEXT,                       -- JSON of model.plans.Facts
    steps_hash     TEXT,
    run            TEXT,
    resume_state   TEXT,
    outcome        TEXT,
    asked_in       TEXT,
    woken_at       TEXT,
    pending_at     TEXT                        -- when approvers were asked
) STRICT;
CREATE INDEX IF NOT EXISTS requests_by_state ON requests (state);

CREATE TABLE IF NOT EXISTS decisions (
    request TEXT NOT NULL REFERENCES requests (id),
    person  TEXT NOT NULL,
    verdict TEXT NOT NULL,
    reason  TEXT NOT NULL,
    at      TEXT NOT NULL,
    steps_hash TEXT NOT NULL,
    name    TEXT NOT NULL DEFAULT '',          -- what the person was called then
    PRIMARY KEY (request, person)
) STRICT;

CREATE TABLE IF NOT EXISTS keys_seen (                       -- idempotency: one row per verb call, with its answer
    key     TEXT PRIMARY KEY,
    verb    TEXT NOT NULL,
    subject TEXT NOT NULL,
    at      TEXT NOT NULL,
    answer  TEXT NOT NULL DEFAULT '{}'         -- JSON: what it answered about, or the error it raised
) STRICT;

CREATE TABLE IF NOT EXISTS leases (                          -- what a request needs until it ends; retention skips it
    request    TEXT PRIMARY KEY REFERENCES requests (id),
    repository TEXT NOT NULL,
    cluster    TEXT NOT NULL,
    backups    TEXT NOT NULL,                  -- JSON list of backup ids
    wal        TEXT NOT NULL                   -- JSON {"timeline", "from", "to"}
) STRICT;

CREATE TABLE IF NOT EXISTS audit (                           -- append-only, each entry hashed over the one before
    seq     INTEGER PRIMARY KEY,
    at      TEXT NOT NULL,
    actor   TEXT NOT NULL,                     -- Person.key, or "pitstop"
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL,                     -- canonical JSON
    prev    TEXT NOT NULL,
    hash    TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS audit_by_subject ON audit (subject, seq);
CREATE TRIGGER IF NOT EXISTS audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

CREATE TABLE IF NOT EXISTS inbox (                           -- what people did in Slack, recorded before the ack, handled by a worker
    id          INTEGER PRIMARY KEY,
    key         TEXT NOT NULL UNIQUE,          -- trigger id or the like: a second delivery changes nothing
    kind        TEXT NOT NULL,
    payload     TEXT NOT NULL,                 -- JSON
    received_at TEXT NOT NULL,
    done_at     TEXT,
    outcome     TEXT                           -- JSON
) STRICT;
CREATE INDEX IF NOT EXISTS inbox_open ON inbox (id) WHERE done_at IS NULL;

CREATE TABLE IF NOT EXISTS cards (                           -- which message shows which subject, and whether it is out of date; never content
    id           INTEGER PRIMARY KEY,
    subject_kind TEXT NOT NULL,                -- "request", "run", "server", …
    subject      TEXT NOT NULL,
    place        TEXT NOT NULL,                -- "approvals", "results", "alerts", "dm:<user>", "thread:<card id>"
    wanted       INTEGER NOT NULL,             -- bumped whenever the subject changes
    posted       INTEGER NOT NULL DEFAULT 0,   -- the `wanted` that Slack last accepted
    channel      TEXT,
    ts           TEXT,
    armed        INTEGER NOT NULL DEFAULT 0,   -- 1 once an edit after the committed ts gave it its buttons
    urgent       INTEGER NOT NULL DEFAULT 0,   -- decisions and alerts before progress
    sent_at      TEXT,
    attempts     INTEGER NOT NULL DEFAULT 0,
    failed       TEXT,                         -- why Slack will never take it
    UNIQUE (subject_kind, subject, place)
) STRICT;
CREATE INDEX IF NOT EXISTS cards_stale ON cards (urgent, id) WHERE wanted > posted;

CREATE TABLE IF NOT EXISTS people (
    person     TEXT PRIMARY KEY,               -- Person.key
    facts      TEXT NOT NULL,                  -- JSON of model.people.PersonFacts
    fetched_at TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS people_groups (
    grp        TEXT PRIMARY KEY,               -- Slack user group id
    members    TEXT NOT NULL,                  -- JSON list of Person.key
    fetched_at TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS modal_tokens (                    -- one use, bound to request, version and person
    token      TEXT PRIMARY KEY,
    request    TEXT,
    version    INTEGER,
    person     TEXT NOT NULL,
    purpose    TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    used_at    TEXT
) STRICT;

CREATE TABLE IF NOT EXISTS catalogue (                       -- the ledger's copy of the repositories' backups; rebuilt from them at will
    cluster    TEXT NOT NULL,
    repository TEXT NOT NULL,
    backup     TEXT NOT NULL,
    summary    TEXT NOT NULL,                  -- JSON of model.backups.BackupSummary
    seen       TEXT NOT NULL DEFAULT '',       -- JSON [stamp, data keys] of what it was read from; empty: read it again
    PRIMARY KEY (cluster, repository, backup)
) STRICT;

CREATE TABLE IF NOT EXISTS contents (                        -- what is in a backup: databases, tables, the server in short; from its manifest
    cluster TEXT NOT NULL,
    backup  TEXT NOT NULL,
    body    TEXT NOT NULL,                     -- JSON of model.contents.Contents
    PRIMARY KEY (cluster, backup)
) STRICT;

CREATE TABLE IF NOT EXISTS old_backups (                     -- the files of older scripts as they lay when last looked at
    cluster    TEXT NOT NULL,
    path       TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    changed_at TEXT NOT NULL,
    PRIMARY KEY (cluster, path)
) STRICT;

CREATE TABLE IF NOT EXISTS runbooks (                        -- the ledger's copy of each cluster's newest runbook
    cluster TEXT PRIMARY KEY,
    body    TEXT NOT NULL,                     -- Markdown
    at      TEXT NOT NULL,
    base    TEXT NOT NULL                      -- JSON of model.runbook.BaseFacts, or null
) STRICT;

CREATE TABLE IF NOT EXISTS attachments (                     -- files that wait to be shared; their bytes go once they were
    run     TEXT PRIMARY KEY REFERENCES runs (id),
    name    TEXT NOT NULL,
    title   TEXT NOT NULL,
    alt     TEXT NOT NULL,
    content BLOB,
    at      TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS rehearsals (                      -- what people noted of walking through a request and an approval
    run       TEXT NOT NULL REFERENCES runs (id),
    cluster   TEXT NOT NULL,
    by        TEXT NOT NULL,                   -- Person.key
    by_name   TEXT NOT NULL,
    went_well INTEGER NOT NULL,
    text      TEXT NOT NULL,
    at        TEXT NOT NULL,
    PRIMARY KEY (run, by)
) STRICT;

CREATE TABLE IF NOT EXISTS pauses (                          -- when a cluster's schedule waits
    id       TEXT PRIMARY KEY,
    cluster  TEXT NOT NULL,
    by       TEXT NOT NULL,                    -- Person.key
    by_name  TEXT NOT NULL,
    at       TEXT NOT NULL,
    until    TEXT NOT NULL,
    ended_at TEXT,
    ended_by TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS pauses_open ON pauses (cluster, until) WHERE ended_at IS NULL;

CREATE TABLE IF NOT EXISTS scrubbed (                        -- when each stored object was last read; lost, it is made anew by reading
    repository TEXT NOT NULL,
    path       TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    checked_at TEXT NOT NULL,
    damage     TEXT NOT NULL,                  -- what was wrong, empty when nothing was
    PRIMARY KEY (repository, path)
) STRICT;

CREATE TABLE IF NOT EXISTS data_keys (                       -- each repository's data keys, for the reminder to rotate; rebuilt from it at will
    repository TEXT NOT NULL,
    key        TEXT NOT NULL,
    made_at    TEXT NOT NULL,
    proved_at  TEXT,                           -- when a rotation proved that everything opens
    PRIMARY KEY (repository, key)
) STRICT;

CREATE TABLE IF NOT EXISTS rotations (                       -- the data key a rotation makes, from before it is stored until the rotation ended
    repository TEXT PRIMARY KEY,
    key        TEXT NOT NULL,
    begun_at   TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS wal_status (                      -- what the receiver last said, per repository
    cluster      TEXT NOT NULL,
    repository   TEXT NOT NULL,
    system_id    TEXT NOT NULL,
    timeline     INTEGER NOT NULL,
    received_lsn TEXT NOT NULL,
    durable_lsn  TEXT NOT NULL,                -- in the repository
    server_lsn   TEXT NOT NULL,
    window       TEXT NOT NULL,                -- JSON list of {"from", "to"} ISO times, the recovery window
    at           TEXT NOT NULL,
    covered_until TEXT,                        -- all that the server had written by then is durable
    server_at    TEXT,                         -- when the server last said where it stands, by its own clock
    away_since   TEXT,                         -- the server has not answered since then; NULL while it does
    PRIMARY KEY (cluster, repository)
) STRICT;

CREATE TABLE IF NOT EXISTS servers (                         -- servers started beside
    id         TEXT PRIMARY KEY,               -- the request's id
    cluster    TEXT NOT NULL,
    state      TEXT NOT NULL,                  -- "starting", "running", "stopped", "removed"
    version    INTEGER NOT NULL,
    owner      TEXT NOT NULL,                  -- Person.key
    directory  TEXT NOT NULL,
    dsn        TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    detail     TEXT NOT NULL                   -- JSON: postmaster identity, socket, port, forwarder run
) STRICT;

CREATE TABLE IF NOT EXISTS alerts (                          -- conditions that need, or needed, somebody: one row each, for good
    id            TEXT PRIMARY KEY,
    condition     TEXT NOT NULL,               -- a word of model/alerts.py
    cluster       TEXT NOT NULL,               -- empty: the whole host
    subject       TEXT NOT NULL,               -- tells siblings apart: a job, a repository, a slot
    severity      TEXT NOT NULL,
    sentence      TEXT NOT NULL,
    fix           TEXT NOT NULL,
    occurrence    TEXT NOT NULL,
    state         TEXT NOT NULL,
    version       INTEGER NOT NULL,
    opened_at     TEXT NOT NULL,
    changed_at    TEXT NOT NULL,
    episode       INTEGER NOT NULL,
    calls         INTEGER NOT NULL,
    worst         TEXT NOT NULL,
    by_name       TEXT NOT NULL,
    snoozed_until TEXT,
    resolved_at   TEXT,
    UNIQUE (condition, cluster, subject)
) STRICT;
CREATE INDEX IF NOT EXISTS alerts_by_state ON alerts (state);

CREATE TABLE IF NOT EXISTS notices (                         -- what the fallback took, so that nothing is told twice
    key     TEXT PRIMARY KEY,
    sent_at TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS samples (                         -- how full disks were, for the forecast
    name  TEXT NOT NULL,
    at    TEXT NOT NULL,
    value INTEGER NOT NULL,                    -- bytes used
    PRIMARY KEY (name, at)
) STRICT;

CREATE TABLE IF NOT EXISTS swaps (                           -- the journal of a restore in place: the step that was begun last
    request TEXT PRIMARY KEY REFERENCES requests (id),
    step    TEXT NOT NULL,                     -- model.swaps.SwapStep
    swap    TEXT,                              -- JSON of model.swaps.Swap, once both databases exist
    at      TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS kept (                            -- databases that a swap replaced
    id           TEXT PRIMARY KEY REFERENCES requests (id),
    cluster      TEXT NOT NULL,
    database     TEXT NOT NULL,                -- what it was called
    name         TEXT NOT NULL,                -- what it is called
    oid          INTEGER NOT NULL,
    current_oid  INTEGER NOT NULL,             -- of the database that took the name
    state        TEXT NOT NULL,                -- "kept", "back", "removed"
    version      INTEGER NOT NULL,
    owner        TEXT NOT NULL,                -- Person.key
    bytes        INTEGER NOT NULL,
    kept_at      TEXT NOT NULL,
    remove_at    TEXT NOT NULL,
    announced_at TEXT
) STRICT;

CREATE TABLE IF NOT EXISTS settings (                        -- single values: schema version, audit anchor, instance id
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
