"""What ingest counts and measures; no label ever holds anything that a peer said."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_LATENCIES: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

sessions = Counter("petitbleu_ingest_sessions_total", "Sessions begun, by what admission said", ["answer"])
sessions_open = Gauge("petitbleu_ingest_sessions_open", "Sessions open")
sessions_ended = Counter("petitbleu_ingest_sessions_ended_total", "Sessions that we ended, by why", ["why"])
logins = Counter("petitbleu_ingest_logins_total", "Logins at the submission doors, by what became of them", ["result"])
messages = Counter("petitbleu_ingest_messages_total", "Messages answered at their end, by verdict", ["verdict"])
octets = Counter("petitbleu_ingest_octets_total", "Octets of accepted messages")
recipients = Counter("petitbleu_ingest_recipients_total", "RCPT commands answered, by verdict", ["verdict"])
refused_commands = Counter("petitbleu_ingest_bad_commands_total", "Commands refused for syntax or order")
accept_seconds = Histogram(
    "petitbleu_ingest_accept_seconds", "From the last octet of a message to its reply", buckets=_LATENCIES
)
batch_items = Histogram("petitbleu_ingest_batch_items", "Messages in one Accept", buckets=(1, 2, 4, 8, 16, 32, 64, 128))
accept_failures = Counter("petitbleu_ingest_accept_failures_total", "Accept calls that failed")
accept_queued = Gauge("petitbleu_ingest_accept_queued", "Messages waiting for a batch")
staged = Counter("petitbleu_ingest_staged_total", "Messages streamed to storage")
judged = Counter(
    "petitbleu_ingest_judged_total", "Messages judged, by DMARC and by what it asks for", ["dmarc", "measure"]
)
judge_seconds = Histogram(
    "petitbleu_ingest_judge_seconds",
    "From the last octet of a message to what is known of its sender",
    buckets=_LATENCIES,
)
scans = Counter("petitbleu_ingest_scans_total", "Messages at scanners, by what they said", ["scanner", "answer"])
submitted_scans = Counter(
    "petitbleu_ingest_submitted_scans_total", "Submitted messages at scanners, by what they said", ["scanner", "answer"]
)
reputations = Counter(
    "petitbleu_ingest_reputations_total", "Messages of authenticated domains whose past spoke: for, against", ["said"]
)
marks = Counter("petitbleu_ingest_marks_total", "Marks of the built-in scorer", ["mark"])
greylisted = Counter(
    "petitbleu_ingest_greylist_total", "Unauthenticated messages, by what greylisting said", ["answer"]
)
wish_failures = Counter(
    "petitbleu_ingest_wish_failures_total", "Questions for what tenants want done with mail that failed"
)
forged = Counter("petitbleu_ingest_forged_results_total", "Authentication-Results in our name that were cut out")
lookup_failures = Counter("petitbleu_ingest_lookup_failures_total", "Batches of recipient look-ups that failed")
quota_answers = Counter(
    "petitbleu_ingest_quota_answers_total", "Accounts of recipients looked up, by who told of their quota", ["by"]
)
quota_by_list = quota_answers.labels("list")
quota_asked = quota_answers.labels("store")
full_list_failures = Counter("petitbleu_ingest_full_list_failures_total", "Questions for the full accounts that failed")
full_accounts = Gauge("petitbleu_ingest_full_accounts", "Accounts on the list of full ones; -1 while none is of use")
full_accounts.set(-1)
cache_hits = Counter("petitbleu_ingest_recipient_cache_hits_total", "Recipients answered from memory")
cache_misses = Counter("petitbleu_ingest_recipient_cache_misses_total", "Recipients looked up")
cache_entries = Gauge("petitbleu_ingest_recipient_cache_entries", "Answers remembered")
forgotten = Counter("petitbleu_ingest_recipient_cache_forgotten_total", "Answers forgotten at an event")
memory_octets = Gauge("petitbleu_ingest_memory_octets", "Octets of messages held")
memory_peak_octets = Gauge("petitbleu_ingest_memory_peak_octets", "Most octets of messages held at once")
memory_waits = Counter("petitbleu_ingest_memory_given_up_total", "Messages given up for want of memory")
tls_sessions = Counter("petitbleu_ingest_tls_sessions_total", "TLS handshakes, by outcome", ["outcome"])
tls_reloads = Counter("petitbleu_ingest_tls_reloads_total", "Certificate reloads, by outcome", ["outcome"])
uncounted = Counter("petitbleu_ingest_dmarc_uncounted_total", "Messages that are missing in DMARC reports")
