"""The statements of submissions. `$1` is the partition, or the list of them."""

from __future__ import annotations

from typing import Final

KEPT_GONE: Final = 1_000
"""Destroyed submissions that stay in the log of changes; further ones are forgotten, the oldest first."""

LIGHT: Final = """number, submission_id, tenant_id, identity_id, message_id, thread_id, state, created_modseq, modseq, gone,
    send_at_ms, next_try_ms, tries, finished_ms, accepted_id, recipients"""
OPEN: Final = """/* hot:delivery.submission_open */ INSERT INTO submission_book (partition, account_id) VALUES ($1, $2)
ON CONFLICT DO NOTHING"""
BOOK: Final = """/* hot:delivery.submission_book */ SELECT modseq, last_number, pruned_modseq, live, hour_ms, hour_recipients,
    day_ms, day_recipients FROM submission_book
WHERE partition = $1 AND account_id = $2"""
LOCK: Final = f"{BOOK.replace('submission_book */', 'submission_lock */')} FOR UPDATE"
ALL: Final = f"""/* hot:delivery.submissions */ SELECT {LIGHT} FROM submission
WHERE partition = $1 AND account_id = $2 AND NOT gone ORDER BY number"""
SOME: Final = f"""/* hot:delivery.submissions_of */ SELECT {LIGHT}, envelope FROM submission
WHERE partition = $1 AND account_id = $2 AND number = ANY($3::bigint[]) ORDER BY number"""
MADE: Final = """/* hot:delivery.submissions_made */ SELECT number FROM submission
WHERE partition = $1 AND account_id = $2 AND submission_id = ANY($3::bytea[])"""
OLDEST: Final = f"""/* hot:delivery.submissions_oldest */ SELECT {LIGHT}, ''::bytea AS envelope FROM submission
WHERE partition = $1 AND account_id = $2 AND NOT gone AND state > 2 ORDER BY number LIMIT $3"""
NEWS: Final = """/* hot:delivery.submission_recipients */ SELECT number, recipient_no, delivered, reply FROM submission_recipient
WHERE partition = $1 AND account_id = $2 AND number = ANY($3::bigint[])"""
STEPS: Final = """/* hot:delivery.submission_steps */ SELECT number, created_modseq, modseq, gone FROM submission
WHERE partition = $1 AND account_id = $2 AND modseq > $3"""
STATES: Final = """/* hot:delivery.submission_states */ SELECT account_id, modseq FROM submission_book
WHERE partition = ANY($1::smallint[]) AND account_id = ANY($2::bigint[])"""

PUT: Final = """/* hot:delivery.submission_put */ INSERT INTO submission AS s (partition, account_id, number, submission_id, tenant_id,
    identity_id, message_id, thread_id, state, created_modseq, modseq, gone, send_at_ms, next_try_ms, tries, finished_ms,
    accepted_id, recipients, envelope)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
ON CONFLICT (partition, account_id, number) DO UPDATE SET state = excluded.state, modseq = excluded.modseq, gone = excluded.gone,
    next_try_ms = excluded.next_try_ms, tries = excluded.tries, finished_ms = excluded.finished_ms,
    accepted_id = excluded.accepted_id, envelope = CASE WHEN length(excluded.envelope) = 0 THEN excluded.envelope ELSE s.envelope END
WHERE s.partition = $1"""
HEAR: Final = """/* hot:delivery.submission_hear */ INSERT INTO submission_recipient AS r (partition, account_id, number, recipient_no,
    delivered, reply) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (partition, account_id, number, recipient_no) DO UPDATE SET delivered = excluded.delivered, reply = excluded.reply
WHERE r.partition = $1"""
SUBJECT: Final = """/* hot:delivery.submission_subject */ INSERT INTO submission_subject (partition, account_id, subject_key, number)
VALUES ($1, $2, $3, $4) ON CONFLICT (partition, account_id, subject_key, number) DO NOTHING"""
SUBJECTS: Final = """/* hot:delivery.submissions_about */ SELECT number FROM submission_subject
WHERE partition = $1 AND account_id = $2 AND subject_key = $3 ORDER BY number DESC LIMIT 20"""
REPORT: Final = """/* hot:delivery.submission_report */ INSERT INTO submission_report (partition, account_id, number, message_id, kind, displayed)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (partition, account_id, number, message_id) DO NOTHING"""
REPORTS: Final = """/* hot:delivery.submission_reports */ SELECT number, message_id, kind, displayed FROM submission_report
WHERE partition = $1 AND account_id = $2 AND number = ANY($3::bigint[]) ORDER BY message_id"""
FORGET_REPORTS: Final = tuple(
    f"/* hot:delivery.{table}_forget */ DELETE FROM {table} WHERE partition = $1 AND account_id = $2 AND number = ANY($3::bigint[])"
    for table in ("submission_report", "submission_subject")
)
FORGET: Final = """/* hot:delivery.submission_forget */ DELETE FROM submission_recipient
WHERE partition = $1 AND account_id = $2 AND number = ANY($3::bigint[])"""
CLOSE: Final = """/* hot:delivery.submission_close */ UPDATE submission_book SET modseq = $3, last_number = $4, live = $5,
    hour_ms = $6, hour_recipients = $7, day_ms = $8, day_recipients = $9
WHERE partition = $1 AND account_id = $2"""
PRUNE: Final = f"""/* cold:delivery.submission_prune */ WITH old AS (
    SELECT modseq FROM submission WHERE partition = $1 AND account_id = $2 AND gone AND state > 2
    ORDER BY modseq DESC OFFSET {KEPT_GONE} LIMIT 1
), dropped AS (
    DELETE FROM submission WHERE partition = $1 AND account_id = $2 AND gone AND state > 2 AND modseq <= (SELECT modseq FROM old)
) UPDATE submission_book SET pruned_modseq = greatest(pruned_modseq, (SELECT modseq FROM old))
WHERE partition = $1 AND account_id = $2 AND EXISTS (SELECT 1 FROM old)"""

CONCERNED: Final = """/* hot:delivery.submissions_concerned */ SELECT number FROM submission
WHERE partition = $1 AND account_id = $2 AND (accepted_id = ANY($3::bytea[]) OR state = 2)"""
CONCERNED_OF: Final = """/* hot:delivery.submissions_concerned_of */ SELECT DISTINCT s.account_id FROM submission s
JOIN unnest($1::smallint[], $2::bigint[], $3::bytea[]) AS g (partition, account_id, accepted_id)
    ON s.partition = g.partition AND s.account_id = g.account_id AND (s.accepted_id = g.accepted_id OR s.state = 2)
WHERE s.partition = ANY($1::smallint[])"""
EARLY: Final = """/* hot:delivery.submission_early */ INSERT INTO submission_news AS n (partition, account_id, accepted_id, recipient_no,
    delivered, reply, heard_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (partition, account_id, accepted_id, recipient_no) DO UPDATE SET delivered = excluded.delivered, reply = excluded.reply
WHERE n.partition = $1"""
TAKE_EARLY: Final = """/* hot:delivery.submission_take_early */ DELETE FROM submission_news
WHERE partition = $1 AND account_id = $2 AND accepted_id = $3 RETURNING recipient_no, delivered, reply"""

# Over all partitions, each by an index that holds only what waits: nearly always nothing.
DUE: Final = """/* cold:delivery.submissions_due */ SELECT account_id, number FROM submission
WHERE state IN (1, 2) AND next_try_ms <= $1 ORDER BY next_try_ms LIMIT $2"""
STALE: Final = """/* cold:delivery.submissions_stale */ SELECT account_id, array_agg(number) AS numbers FROM (
    SELECT account_id, number FROM submission WHERE state > 2 AND NOT gone AND finished_ms < $1 LIMIT 1000) old GROUP BY account_id"""
BOOKS: Final = """/* cold:delivery.submission_books */ SELECT account_id FROM submission_book
WHERE partition BETWEEN $1 AND $2 ORDER BY account_id"""
ERASE: Final = tuple(
    f"/* cold:delivery.{table}_erase */ DELETE FROM {table} WHERE partition = $1 AND account_id = $2"
    for table in (
        "submission",
        "submission_recipient",
        "submission_news",
        "submission_subject",
        "submission_report",
        "submission_book",
    )
)
DROP_NEWS: Final = "/* cold:delivery.submission_news_drop */ DELETE FROM submission_news WHERE heard_ms < $1"
