"""Scripts and messages that both evaluators are asked about: tests of all kinds in one frame, and whole scripts."""

from __future__ import annotations

from tests.conformance.sieve.pigeonhole import Case

LETTER = (
    b"Return-Path: <jurgen+work@example.org>\r\n"
    b"Received: from a.example by b.example; Sun, 22 Nov 2026 10:00:00 +0000\r\n"
    b"Received: from c.example by a.example; Sun, 22 Nov 2026 09:59:00 +0000\r\n"
    b"From: =?utf-8?q?J=C3=BCrgen_M.?= <jurgen+work@Example.ORG>\r\n"
    b"To: Ann <ann@example.com>, bob@example.net\r\n"
    b"Cc: team: carl@example.com, dora+x+y@example.com;\r\n"
    b"Subject: [news] =?utf-8?q?Gr=C3=BC=C3=9Fe?= from\r\n the *world*\r\n"
    b"Date: Sun, 22 Nov 2026 10:00:00 +0100\r\n"
    b"Message-ID: <one@example.org>\r\n"
    b"X-Number: 42\r\n"
    b"X-Empty:\r\n"
    b"X-Two: first\r\n"
    b"X-Two: second\r\n"
    b"\r\n"
    b"Hello Ann,\r\nthis is the text, with a star * and a dot.\r\n.\r\nEnd\r\n"
)
PARTS = (
    b'From: "Doe, John" <john@example.net>\r\nSender: list-owner@lists.example.net\r\n'
    b"To: undisclosed-recipients:;\r\nSubject: =?iso-8859-1?q?R=E9sum=E9?=\r\nList-Id: The list <list.example.net>\r\n"
    b"Date: Wed, 1 Jul 2015 23:30:00 -0700\r\nMIME-Version: 1.0\r\nX-Number: 007\r\n"
    b'Content-Type: multipart/mixed; boundary="x"\r\n\r\nbefore\r\n--x\r\nContent-Type: text/plain; charset=iso-8859-1\r\n'
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\nplain w=F6rds\r\n"
    b"--x\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPHA+c29tZSA8Yj5oVE1MPC9iPjwvcD4=\r\n"
    b"--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner body\r\n--x--\r\nbehind\r\n"
)
MESSAGES = {"letter": LETTER, "parts": PARTS}

# (extensions, test): `if TEST { fileinto "yes"; }`, for each message
TESTS: list[tuple[str, str]] = [
    ("", 'header "subject" "[news] Grüße from the *world*"'),
    ("", 'header :contains "subject" "GRüßE"'),
    ("", 'header :contains "subject" "GRÜSSE"'),
    ("", 'header :comparator "i;octet" :contains "subject" "news"'),
    ("", 'header :comparator "i;octet" :contains "subject" "NEWS"'),
    ("", r'header :matches "subject" "[news]*\\*world\\*"'),
    ("", 'header :matches "subject" "R?sum?"'),
    ("", 'header :matches ["x-missing", "x-number"] "4?"'),
    ("", 'header :matches "x-number" ""'),
    ("", 'header :matches "x-empty" ""'),
    ("", 'header :is "x-empty" ""'),
    ("", 'header :contains "x-missing" ""'),
    ("", 'header :matches "x-number" "*4*2*"'),
    ("", 'header :matches "x-number" "*2?*"'),
    ("", 'header "x-two" "second"'),
    ("", 'header ["x-two", "x-number"] ["nothing", "first"]'),
    ("", 'header :contains "list-id" "list.example"'),
    ("", 'header :contains "from" "John"'),
    ("", 'header :is "from" "jurgen+work@example.org"'),
    ("", 'address "from" "JURGEN+work@example.org"'),
    ("", 'address :localpart "from" ["john", "jurgen+work"]'),
    ("", 'address :domain :is "from" "EXAMPLE.org"'),
    ("", 'address :domain :contains ["to", "cc"] "example.net"'),
    ("", 'address :all :matches "to" "*@example.net"'),
    ("", 'address :all "cc" "carl@example.com"'),
    ("", 'address "to" ""'),
    ("", 'address :contains "to" "undisclosed"'),
    ("", 'address :comparator "i;octet" :domain "from" "Example.ORG"'),
    ("", 'address "sender" "list-owner@lists.example.net"'),
    ("subaddress", 'address :user "from" "jurgen"'),
    ("subaddress", 'address :detail "from" "work"'),
    ("subaddress", 'address :detail "cc" "x+y"'),
    ("subaddress", 'address :detail "from" ""'),
    ("subaddress envelope", 'envelope :detail "to" "list"'),
    ("envelope", 'envelope "from" "jurgen+work@example.org"'),
    ("envelope", 'envelope :localpart :contains "to" "ann"'),
    ("envelope", 'envelope :domain ["from", "to"] "example.com"'),
    ("", 'exists ["from", "x-number"]'),
    ("", 'exists ["from", "cc"]'),
    ("", 'not exists "list-id"'),
    ("", "size :over 700"),
    ("", "size :under 1K"),
    ("", "size :over 1M"),
    ("", "allof (true, not false)"),
    ("", 'anyof (false, exists "list-id")'),
    ("relational comparator-i;ascii-numeric", 'header :value "gt" :comparator "i;ascii-numeric" "x-number" "9"'),
    ("relational comparator-i;ascii-numeric", 'header :value "eq" :comparator "i;ascii-numeric" "x-number" "7"'),
    ("relational comparator-i;ascii-numeric", 'header :value "gt" :comparator "i;ascii-numeric" "subject" "9"'),
    ("relational", 'header :value "lt" "x-number" "41"'),
    ("relational", 'header :value "ne" ["x-number", "x-two"] "42"'),
    ("relational comparator-i;ascii-numeric", 'address :count "eq" :comparator "i;ascii-numeric" ["to", "cc"] "4"'),
    ("relational comparator-i;ascii-numeric", 'header :count "ge" :comparator "i;ascii-numeric" "received" "2"'),
    ("relational", 'header :count "eq" "x-missing" "0"'),
    ("comparator-i;ascii-numeric", 'header :comparator "i;ascii-numeric" "x-number" ["7", "0042"]'),
    ("index", 'header :index 1 "x-two" "first"'),
    ("index", 'header :index 1 :last "x-two" "first"'),
    ("index", 'address :index 1 :domain "to" "example.com"'),
    ("date index", 'date :index 2 "received" "minute" "59"'),
    ("date", 'date :originalzone "date" "hour" "10"'),
    ("date", 'date :zone "+0000" "date" "date" ["2026-11-22", "2015-07-02"]'),
    ("date", 'date :zone "+0000" "date" "julian" ["61366", "57205"]'),
    ("date", 'date :zone "-0700" "date" "weekday" "3"'),
    ("date", 'date :originalzone "date" "iso8601" ["2026-11-22T10:00:00+01:00", "x"]'),
    ("date", 'date :originalzone "date" "std11" "Sun, 22 Nov 2026 10:00:00 +0100"'),
    ("date", 'date :originalzone "date" "zone" ["+0100", "-0700"]'),
    ("date", 'date :zone "+0000" "date" "time" "09:00:00"'),
    ("date", 'date "subject" "year" "2026"'),
    ("date relational", 'currentdate :value "ge" "year" "2020"'),
    ("date", 'currentdate :zone "+0000" :matches "iso8601" "????-??-??T??:??:??*"'),
    ("body", 'body :contains "hello ann"'),
    ("body", 'body :contains "wörds"'),
    ("body", 'body :raw :contains "w=F6rds"'),
    ("body", 'body :raw :matches "*--x--*"'),
    ("body", 'body :content "text/html" :contains "<b>hTML</b>"'),
    ("body", 'body :text :contains "some html"'),
    ("body", 'body :content "text/plain" :contains "html"'),
    ("body", 'body :content "text" :contains ["the text", "plain"]'),
    ("body", 'body :content "message/rfc822" :contains "inner"'),
    ("body", 'body :content "" :contains "inner body"'),
    ("body", 'body :content "multipart" :contains "before"'),
    ("body", 'body :content "multipart/mixed" :contains "behind"'),
    ("variables", 'string :matches "abcde" "a*e"'),
    ("variables relational", 'string :count "eq" ["a", "", "b"] "2"'),
    ("variables", r'string "a*b" "a\\*b"'),
    ("variables", r'string :matches "a*b" "a\\*b"'),
    ("variables", r'string :matches "a\\b" "a\\\\b"'),
    ("variables", 'string :matches "Grüße" "Gr??e"'),
    ("mailbox", 'mailboxexists "INBOX"'),
    ("mailbox", 'mailboxexists "Nowhere"'),
    ("enotify", 'valid_notify_method "mailto:a@example.com"'),
    ("enotify", 'valid_notify_method ["mailto:a@example.com", "xmpp:a"]'),
    ("enotify", 'notify_method_capability "mailto:a@example.com" "online" "maybe"'),
    ("duplicate", "duplicate"),
    ("encoded-character", 'header :contains "subject" "${unicode:52}${hex: c3 a9}"'),
    ("imap4flags", 'hasflag ""'),
]

# Whole scripts, for one message
SCRIPTS: list[str] = [
    "",
    "keep;",
    "discard;",
    "keep; discard;",
    "stop; discard;",
    'require "fileinto"; fileinto "a"; fileinto "a"; keep; fileinto "INBOX";',
    'require "fileinto"; fileinto "a/b"; stop; fileinto "c";',
    'redirect "a@example.com"; redirect "a@example.com"; redirect "b@example.com";',
    'redirect "1@example.com"; redirect "2@example.com"; redirect "3@example.com"; redirect "4@example.com"; redirect "5@example.com";',
    'require ["copy", "fileinto"]; fileinto :copy "a"; redirect :copy "b@example.com";',
    'require "copy"; redirect :copy "b@example.com"; discard;',
    'require "reject"; reject "no thanks";',
    'require "ereject"; ereject "no";',
    'require ["reject", "fileinto"]; fileinto "a"; reject "no";',
    'require "reject"; reject "no"; keep;',
    'require "reject"; reject "no"; discard;',
    'require "reject"; reject "no"; reject "again";',
    'require "reject"; discard; reject "no";',
    'require ["reject", "vacation"]; vacation "away"; reject "no";',
    'require "vacation"; vacation "away";',
    'require "vacation"; vacation :days 3 :subject "gone" :handle "h" "away";',
    'require "vacation"; vacation :days 1 :handle "h" "away";',
    'require "vacation-seconds"; vacation :seconds 1800 :handle "h" "away";',
    'require "vacation"; vacation :handle "h" "away"; vacation :handle "i" "away";',
    'require "vacation"; vacation :handle "h" text:\none\n..two\n.\n; discard;',
    'require ["imap4flags"]; setflag "\\\\Seen"; addflag ["$a", "$b $c"]; removeflag "$B"; keep;',
    'require ["imap4flags"]; setflag "\\\\Seen";',
    'require ["imap4flags", "fileinto"]; addflag "x"; fileinto "a"; addflag "y"; fileinto :flags "z" "b"; keep;',
    'require ["imap4flags"]; keep :flags "\\\\Seen \\\\flagged";',
    'require ["imap4flags", "variables"]; setflag "v" "a b"; addflag "v" "c"; removeflag "v" "a"; keep :flags "${v}";',
    'require ["imap4flags"]; setflag "a b"; if hasflag :contains "B" { addflag "found"; }',
    'require ["imap4flags", "relational", "comparator-i;ascii-numeric"]; setflag "a b"; if hasflag :count "eq" :comparator "i;ascii-numeric" "2" { addflag "two"; }',
    'require ["mailbox", "fileinto"]; fileinto :create "new";',
    'require ["variables", "fileinto"]; set "a" "x"; fileinto "${a}-${b}-${A}";',
    'require ["variables", "fileinto"]; if header :matches "subject" "[*] * *" { fileinto "${1}-${2}-${3}"; }',
    'require ["variables", "fileinto"]; if header :matches "subject" "*e*" { fileinto "${1}"; }',
    'require ["variables", "fileinto"]; if address :matches "from" "*@*.*" { fileinto "${1} ${2} ${3} ${4}"; }',
    'require ["variables", "fileinto"]; if header :matches "x-number" "??" { fileinto "${2}${1}"; }',
    'require ["variables", "fileinto"]; if string :matches "aXbXc" "*x*" { fileinto "${1}-${2}-${0}"; }',
    'require ["variables", "fileinto"]; set :upper :length "a" "abc"; fileinto "${a}";',
    'require ["variables", "fileinto"]; set :upperfirst :lower "a" "ABC"; fileinto "${a}";',
    'require ["variables", "fileinto"]; set :quotewildcard "a" "x*?"; fileinto "${a}";',
    'require ["variables", "fileinto"]; set :length "a" "Grüße"; fileinto "${a}";',
    'require ["variables", "fileinto"]; set "a" "${"; fileinto "a${a b}${a}";',
    'require ["variables", "fileinto"]; set :lower :upper "a" "x"; fileinto "${a}";',
    'require ["variables", "fileinto"]; fileinto "${unknown.name}";',
    'require ["variables", "fileinto"]; fileinto "${1}x";',
    'require ["variables", "enotify", "fileinto"]; set :encodeurl "a" "x y&z"; fileinto "${a}";',
    'require ["enotify"]; notify :importance "1" :message "hello" "mailto:a@example.com";',
    'require ["enotify"]; notify "xmpp:a@example.com";',
    'require ["enotify"]; notify :importance "5" "mailto:a@example.com";',
    'require ["editheader", "fileinto"]; addheader "X-New" "v"; if header "x-new" "v" { fileinto "yes"; }',
    'require ["editheader", "fileinto"]; deleteheader "x-two"; if exists "x-two" { fileinto "yes"; }',
    'require ["editheader", "fileinto"]; deleteheader :index 1 "x-two"; if header "x-two" "first" { fileinto "yes"; }',
    'require ["editheader", "fileinto"]; deleteheader :index 1 :last "x-two"; if header "x-two" "first" { fileinto "yes"; }',
    'require ["editheader", "fileinto"]; deleteheader :contains "x-two" "eco"; if header "x-two" "second" { fileinto "yes"; }',
    'require ["editheader", "fileinto"]; deleteheader "received"; if exists "received" { fileinto "yes"; }',
    'require ["editheader", "fileinto"]; addheader :last "X-Two" "third"; if header :matches "x-two" "third" { fileinto "yes"; }',
    'require ["include"]; return; discard;',
    'require ["include"]; include :optional "nothing"; discard;',
    'require ["include"]; include "nothing"; discard;',
    'require ["fileinto", "encoded-character"]; fileinto "a${hex:40}b${unicode:e9}${hex:zz}";',
    'require ["fileinto", "encoded-character"]; fileinto "${unicode:D800}";',
    "# a comment\r\n/* another */ discard;",
    "if true { discard; } else { keep; } elsif true { keep; }",
    "if false { keep; } elsif false { keep; } else { discard; }",
    "IF TRUE { DISCARD; }",
    'if header :is :contains "a" "b" { discard; }',
    'if header :comparator "i;ascii-numeric" "a" "b" { discard; }',
    'if header "a" :is "b" { discard; }',
    'require "nonsense"; discard;',
    'keep; require "fileinto";',
    'fileinto "a";',
    'redirect "nobody";',
    "keep",
    "keep;;",
    "if true discard;",
    "if not true, false { discard; }",
    "if size :over 10X { discard; }",
    "if size :over :under 10 { discard; }",
    'if address "subject" "x" { discard; }',
    'require "envelope"; if envelope "nothing" "x" { discard; }',
    'if header "a b" "x" { discard; }',
    "stop 1;",
    "if allof true { discard; }",
    "if anyof (true) { discard; }",
    'keep "x";',
    'discard; "x"',
    "/* open",
    'if header "x "y" {}',
]

# (test or script, message) → row of the table in docs/sieve.md
EXPLAINED: dict[tuple[str, str], str] = {
    ('header :matches "subject" "R?sum?"', "parts"): "one-character",
    ('string :matches "Grüße" "Gr??e"', "letter"): "one-character",
    ('string :matches "Grüße" "Gr??e"', "parts"): "one-character",
    ('header :matches "x-number" "*2?*"', "letter"): "question-mark-at-the-end",
    ('address :contains "to" "undisclosed"', "parts"): "empty-group",
    ('require "ereject"; ereject "no";', "letter"): "ereject",
    (
        'require ["variables", "fileinto"]; if string :matches "aXbXc" "*x*" { fileinto "${1}-${2}-${0}"; }',
        "letter",
    ): "string-without-comparator",
    ('require ["variables", "fileinto"]; fileinto "${unknown.name}";', "letter"): "unknown-namespace",
    ('require ["include"]; include :optional "nothing"; discard;', "letter"): "include-when",
    ('require ["include"]; include "nothing"; discard;', "letter"): "include-when",
    ('if header "a b" "x" { discard; }', "letter"): "field-name",
}


def cases() -> list[Case]:
    """Return all cases; each is known by its script and the name of its message."""
    found = []
    for extensions, test in TESTS:
        names = ", ".join(f'"{name}"' for name in ["fileinto", *extensions.split()])
        script = f'require [{names}];\r\nif {test} {{ fileinto "yes"; }}\r\n'
        for name, message in MESSAGES.items():
            found.append(Case(script, message, differs=EXPLAINED.get((test, name), "")))
    return found + [Case(script, LETTER, differs=EXPLAINED.get((script, "letter"), "")) for script in SCRIPTS]
