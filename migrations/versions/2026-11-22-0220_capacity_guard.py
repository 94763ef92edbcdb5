"""The capacity guard: at every hour, live reservations of an offer are within its capacity, whoever writes them.

Each statement on `reservation` or `capacity_step` ends in one trigger call that (1) locks the books of the offers
concerned in id order, (2) counts their `seq` up, (3) journals what changed, (4) sweeps usage less capacity over
the changed windows and refuses a positive sum with SQLSTATE 23514. The lock makes it hold at every isolation
level: READ COMMITTED sees the winner's rows after the wait, the others end with a serialization failure.

The functions are SECURITY DEFINER of `cardhour_guard`, which bypasses row-level security: otherwise a trigger's
UPDATE would hit no row and its SUM see only the caller's reservations.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

HEADER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off"

OPEN_BOOK = f"""
CREATE FUNCTION guard_open_book() RETURNS trigger {HEADER} AS $$
BEGIN
    INSERT INTO offer_book (offer_id) SELECT id FROM added;
    RETURN NULL;
END $$"""

LOCK = f"""
CREATE FUNCTION guard_lock(ids uuid[]) RETURNS void {HEADER} AS $$
DECLARE
    locked bigint;
BEGIN
    PERFORM 1 FROM offer_book WHERE offer_id = ANY (ids) ORDER BY offer_id FOR NO KEY UPDATE;
    UPDATE offer_book SET seq = seq + 1 WHERE offer_id = ANY (ids);
    GET DIAGNOSTICS locked = ROW_COUNT;
    IF locked <> cardinality(ids) THEN
        RAISE EXCEPTION 'the book of an offer is missing: % of % locked', locked, cardinality(ids);
    END IF;
END $$"""

SWEEP = f"""
CREATE FUNCTION guard_sweep(ids uuid[], lows timestamptz[], highs timestamptz[], refused_by text) RETURNS void
{HEADER} AS $$
DECLARE
    worst record;
BEGIN
    WITH span AS (SELECT * FROM unnest(ids, lows, highs) AS s (offer_id, low, high)),
    step AS (
        SELECT offer_id, starts_at, cards - lag(cards, 1, 0::bigint) OVER (PARTITION BY offer_id ORDER BY starts_at)
            AS added
        FROM capacity_step WHERE offer_id = ANY (ids)
    ),
    change AS (
        SELECT s.offer_id, greatest(r.starts_at, s.low) AS at, r.cards AS cards
        FROM span s JOIN reservation r ON r.offer_id = s.offer_id AND r.ends_at > s.low AND r.starts_at < s.high
            AND r.state IN ('held', 'confirmed', 'active', 'completed')
        UNION ALL
        SELECT s.offer_id, r.ends_at, -r.cards
        FROM span s JOIN reservation r ON r.offer_id = s.offer_id AND r.ends_at > s.low AND r.ends_at < s.high
            AND r.starts_at < s.high AND r.state IN ('held', 'confirmed', 'active', 'completed')
        UNION ALL
        SELECT s.offer_id, greatest(c.starts_at, s.low), -c.added
        FROM span s JOIN step c ON c.offer_id = s.offer_id AND c.starts_at < s.high
    ),
    net AS (SELECT offer_id, at, sum(cards) AS cards FROM change GROUP BY offer_id, at),
    used AS (SELECT offer_id, at, sum(cards) OVER (PARTITION BY offer_id ORDER BY at) AS over_by FROM net)
    SELECT offer_id, at, over_by INTO worst FROM used WHERE over_by > 0 ORDER BY offer_id, at LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'offer % would be oversold by % cards from %', worst.offer_id, worst.over_by, worst.at
            USING ERRCODE = 'check_violation', CONSTRAINT = refused_by;
    END IF;
END $$"""

RESERVATION_INSERTED = f"""
CREATE FUNCTION guard_reservation_inserted() RETURNS trigger {HEADER} AS $$
DECLARE
    ids uuid[];
    lows timestamptz[];
    highs timestamptz[];
BEGIN
    SELECT array_agg(offer_id), array_agg(low), array_agg(high) INTO ids, lows, highs
    FROM (SELECT offer_id, min(starts_at) AS low, max(ends_at) AS high FROM added GROUP BY offer_id) AS s;
    IF ids IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM guard_lock(ids);
    INSERT INTO reservation_journal (offer_id, seq, reservation_id, cards, starts_at, ends_at, state)
    SELECT a.offer_id, b.seq, a.id, a.cards, a.starts_at, a.ends_at, a.state
    FROM added a JOIN offer_book b USING (offer_id);
    PERFORM guard_sweep(ids, lows, highs, 'reservation_within_capacity');
    RETURN NULL;
END $$"""

RESERVATION_UPDATED = f"""
CREATE FUNCTION guard_reservation_updated() RETURNS trigger {HEADER} AS $$
DECLARE
    ids uuid[];
    lows timestamptz[];
    highs timestamptz[];
BEGIN
    IF EXISTS (SELECT FROM added a LEFT JOIN removed r USING (id)
               WHERE (r.offer_id, r.buyer_org_id, r.supplier_org_id, r.request_id, r.block)
                   IS DISTINCT FROM (a.offer_id, a.buyer_org_id, a.supplier_org_id, a.request_id, a.block)) THEN
        RAISE EXCEPTION 'what a reservation is for never changes'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'reservation_identity';
    END IF;
    IF EXISTS (SELECT FROM added a JOIN removed r USING (id) WHERE a.state <> r.state AND (r.state, a.state) NOT IN (
            ('held', 'confirmed'), ('held', 'cancelled'), ('held', 'expired'), ('confirmed', 'active'),
            ('confirmed', 'cancelled'), ('active', 'completed'))) THEN
        RAISE EXCEPTION 'a reservation does not turn so'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'reservation_transition';
    END IF;
    SELECT array_agg(DISTINCT a.offer_id) INTO ids FROM added a JOIN removed r USING (id)
    WHERE (a.cards, a.starts_at, a.ends_at, a.state) IS DISTINCT FROM (r.cards, r.starts_at, r.ends_at, r.state);
    IF ids IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM guard_lock(ids);
    INSERT INTO reservation_journal (offer_id, seq, reservation_id, cards, starts_at, ends_at, state)
    SELECT a.offer_id, b.seq, a.id, a.cards, a.starts_at, a.ends_at, a.state
    FROM added a JOIN removed r USING (id) JOIN offer_book b ON b.offer_id = a.offer_id
    WHERE (a.cards, a.starts_at, a.ends_at, a.state) IS DISTINCT FROM (r.cards, r.starts_at, r.ends_at, r.state);
    SELECT array_agg(offer_id), array_agg(low), array_agg(high) INTO ids, lows, highs
    FROM (SELECT a.offer_id, min(a.starts_at) AS low, max(a.ends_at) AS high
          FROM added a JOIN removed r USING (id)
          WHERE a.state IN ('held', 'confirmed', 'active', 'completed')
              AND ((a.cards, a.starts_at, a.ends_at) IS DISTINCT FROM (r.cards, r.starts_at, r.ends_at)
                   OR r.state NOT IN ('held', 'confirmed', 'active', 'completed'))
          GROUP BY a.offer_id) AS s;
    IF ids IS NOT NULL THEN
        PERFORM guard_sweep(ids, lows, highs, 'reservation_within_capacity');
    END IF;
    RETURN NULL;
END $$"""

CAPACITY_CHANGED = f"""
CREATE FUNCTION guard_capacity_of(ids uuid[]) RETURNS void {HEADER} AS $$
BEGIN
    IF cardinality(ids) = 0 THEN
        RETURN;
    END IF;
    PERFORM guard_lock(ids);
    PERFORM guard_sweep(ids, array_fill('-infinity'::timestamptz, ARRAY[cardinality(ids)]),
        array_fill('infinity'::timestamptz, ARRAY[cardinality(ids)]), 'capacity_covers_commitments');
END $$"""

# Deferred to the commit, so that steps may be written one by one.
CAPACITY_ENDS = f"""
CREATE FUNCTION guard_capacity_ends() RETURNS trigger {HEADER} AS $$
BEGIN
    IF (SELECT cards FROM capacity_step WHERE offer_id = coalesce(NEW.offer_id, OLD.offer_id)
        ORDER BY starts_at DESC LIMIT 1) <> 0 THEN
        RAISE EXCEPTION 'the last step of an offer''s capacity must be 0 cards'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'capacity_ends_at_zero';
    END IF;
    RETURN NULL;
END $$"""

CAPACITY_TRIGGERS = {
    "inserted": "SELECT DISTINCT offer_id FROM added",
    "updated": "SELECT offer_id FROM added UNION SELECT offer_id FROM removed",
    "deleted": "SELECT DISTINCT offer_id FROM removed",
}

REFUSE = f"""
CREATE FUNCTION guard_refuse() RETURNS trigger {HEADER} AS $$
BEGIN
    RAISE EXCEPTION '% of % is never allowed', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$"""

# What others hold on an offer, without saying who: the steps of its usage in a window.
USAGE = """
CREATE FUNCTION offer_usage(ids uuid[], low timestamptz, high timestamptz)
RETURNS TABLE (offer_id uuid, at timestamptz, cards bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT offer_id, at, sum(cards)::bigint FROM (
        SELECT r.offer_id, greatest(r.starts_at, low) AS at, r.cards FROM reservation r
        WHERE r.offer_id = ANY (ids) AND r.ends_at > low AND r.starts_at < high
            AND r.state IN ('held', 'confirmed', 'active', 'completed')
        UNION ALL
        SELECT r.offer_id, least(r.ends_at, high), -r.cards FROM reservation r
        WHERE r.offer_id = ANY (ids) AND r.ends_at > low AND r.starts_at < high
            AND r.state IN ('held', 'confirmed', 'active', 'completed')
    ) AS change GROUP BY offer_id, at HAVING sum(cards) <> 0 ORDER BY offer_id, at
$$"""

FUNCTIONS = (
    "guard_open_book()",
    "guard_lock(uuid[])",
    "guard_sweep(uuid[], timestamptz[], timestamptz[], text)",
    "guard_reservation_inserted()",
    "guard_reservation_updated()",
    "guard_capacity_of(uuid[])",
    "guard_capacity_inserted()",
    "guard_capacity_updated()",
    "guard_capacity_deleted()",
    "guard_capacity_ends()",
    "guard_refuse()",
    "offer_usage(uuid[], timestamptz, timestamptz)",
)
TRIGGERS = (
    """CREATE TRIGGER open_book AFTER INSERT ON offer REFERENCING NEW TABLE AS added
       FOR EACH STATEMENT EXECUTE FUNCTION guard_open_book()""",
    """CREATE TRIGGER guard_insert AFTER INSERT ON reservation REFERENCING NEW TABLE AS added
       FOR EACH STATEMENT EXECUTE FUNCTION guard_reservation_inserted()""",
    """CREATE TRIGGER guard_update AFTER UPDATE ON reservation REFERENCING OLD TABLE AS removed NEW TABLE AS added
       FOR EACH STATEMENT EXECUTE FUNCTION guard_reservation_updated()""",
    """CREATE TRIGGER guard_insert AFTER INSERT ON capacity_step REFERENCING NEW TABLE AS added
       FOR EACH STATEMENT EXECUTE FUNCTION guard_capacity_inserted()""",
    """CREATE TRIGGER guard_update AFTER UPDATE ON capacity_step REFERENCING OLD TABLE AS removed NEW TABLE AS added
       FOR EACH STATEMENT EXECUTE FUNCTION guard_capacity_updated()""",
    """CREATE TRIGGER guard_delete AFTER DELETE ON capacity_step REFERENCING OLD TABLE AS removed
       FOR EACH STATEMENT EXECUTE FUNCTION guard_capacity_deleted()""",
    """CREATE CONSTRAINT TRIGGER guard_ends AFTER INSERT OR UPDATE OR DELETE ON capacity_step
       DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION guard_capacity_ends()""",
    """CREATE TRIGGER guard_delete BEFORE DELETE OR TRUNCATE ON reservation
       FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()""",
    """CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON capacity_step
       FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()""",
    """CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON reservation_journal
       FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()""",
    """CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON offer_book
       FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()""",
)
DROPPED = {
    "offer": ("open_book",),
    "reservation": ("guard_insert", "guard_update", "guard_delete"),
    "capacity_step": ("guard_insert", "guard_update", "guard_delete", "guard_truncate", "guard_ends"),
    "reservation_journal": ("append_only",),
    "offer_book": ("never_removed",),
}


def upgrade() -> None:
    """Create the guard's functions and triggers."""
    op.execute("SET LOCAL ROLE cardhour_owner")
    for sql in (
        OPEN_BOOK,
        LOCK,
        SWEEP,
        RESERVATION_INSERTED,
        RESERVATION_UPDATED,
        CAPACITY_CHANGED,
        CAPACITY_ENDS,
        REFUSE,
        USAGE,
    ):
        op.execute(sql)
    for event, ids in CAPACITY_TRIGGERS.items():
        op.execute(
            f"CREATE FUNCTION guard_capacity_{event}() RETURNS trigger {HEADER} AS $$ BEGIN "
            f"PERFORM guard_capacity_of(ARRAY(SELECT offer_id FROM ({ids}) AS changed)); RETURN NULL; END $$"
        )
    for sql in TRIGGERS:
        op.execute(sql)
    op.execute("GRANT INSERT, UPDATE ON offer_book TO cardhour_guard")
    op.execute("GRANT INSERT ON reservation_journal TO cardhour_guard")
    op.execute("RESET ROLE")
    op.execute("GRANT CREATE ON SCHEMA public TO cardhour_guard")
    for function in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"ALTER FUNCTION {function} OWNER TO cardhour_guard")
    op.execute("REVOKE CREATE ON SCHEMA public FROM cardhour_guard")
    op.execute(
        "GRANT EXECUTE ON FUNCTION offer_usage(uuid[], timestamptz, timestamptz) TO cardhour_app, cardhour_auditor"
    )


def downgrade() -> None:
    """Remove the guard."""
    for table, triggers in DROPPED.items():
        for trigger in triggers:
            op.execute(f"DROP TRIGGER {trigger} ON {table}")
    for function in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {function}")
