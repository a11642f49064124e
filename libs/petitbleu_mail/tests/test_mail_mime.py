"""Tests of the MIME scanner: RFC 2046's examples, broken messages, and trees that are built and found again."""

from __future__ import annotations

import base64
import binascii
import mmap
import quopri
import tempfile
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from petitbleu_mail import mime
from petitbleu_mail.charsets import decode
from petitbleu_mail.content_types import parse_content_type, parse_disposition
from petitbleu_mail.mime import MAX_DEPTH, MAX_PARTS, Part, part_content, part_text, scan
from petitbleu_mail.transfer import decode_base64, decode_transfer, decode_uu


def body(blob: bytes, part: Part) -> bytes:
    return blob[part.body_start : part.body_end]


def walk(part: Part) -> list[Part]:
    found = [part]
    for child in part.parts:
        found += walk(child)
    if part.message is not None:
        found += walk(part.message)
    return found


RFC2046 = b"""From: Nathaniel Borenstein <nsb@bellcore.com>
MIME-Version: 1.0
Content-type: multipart/mixed; boundary="simple boundary"

This is the preamble.  It is to be ignored.

--simple boundary

This is implicitly typed plain US-ASCII text.
It does NOT end with a linebreak.
--simple boundary
Content-type: text/plain; charset=us-ascii

This is explicitly typed plain US-ASCII text.
It DOES end with a linebreak.

--simple boundary--

This is the epilogue.  It is also to be ignored.
"""


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_the_example_of_rfc_2046(line_end: bytes) -> None:
    blob = RFC2046.replace(b"\n", line_end)
    root = scan(blob)
    assert (root.type, root.part_id, root.body_end) == ("multipart/mixed", None, len(blob))
    first, second = root.parts
    assert body(blob, first).endswith(b"It does NOT end with a linebreak.")
    assert body(blob, second).endswith(b"It DOES end with a linebreak." + line_end)
    assert (first.part_id, second.part_id) == ("1", "2")
    assert first.charset == second.charset == "us-ascii"
    assert blob[second.header_start :].startswith(b"Content-type: text/plain")
    assert second.lines == 2


def test_a_digest_defaults_to_messages_and_a_message_is_a_leaf() -> None:
    blob = (
        b"Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: one\r\n\r\nfirst\r\n"
        b"--d\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=e\r\n\r\n"
        b"--e\r\n\r\ninner\r\n--e\r\nContent-Type: image/png\r\n\r\n\x00\r\n--d--\r\n"
    )
    root = scan(blob)
    one, two = root.parts
    assert (one.type, one.parts) == ("message/rfc822", [])
    assert one.message is not None and body(blob, one.message) == b"first"
    assert (one.message.part_id, two.part_id) == ("1.1", "2")
    assert two.parts == [] and two.message is not None
    assert [p.part_id for p in two.message.parts] == ["2.1", "2.2"]
    assert [body(blob, p) for p in two.message.parts] == [b"inner", b"\x00"]
    assert body(blob, one) == b"Subject: one\r\n\r\nfirst"


def test_what_a_part_says_of_itself() -> None:
    blob = (
        b"Content-Type: application/pdf;\r\n name*0*=utf-8''na%C3%AF;\r\n name*1=ve.pdf\r\nContent-Disposition: ATTACHMENT\r\n"
        b"Content-Transfer-Encoding: BASE64 \r\nContent-ID: <x@y>\r\nContent-Language: en, fr\r\n"
        b"Content-Location: http://e.org/\r\n  long\r\n\r\naGVsbG8=\r\n"
    )
    part = scan(blob)
    assert part == Part(
        "application/pdf", 0, blob.index(b"aGVs"), len(blob), "1", 5, 0, "base64", None, "attachment", "na\u00efve.pdf", "x@y",
        ["en", "fr"], "http://e.org/long",
    )  # fmt: skip
    assert part_content(blob, part) == b"hello"


@pytest.mark.parametrize(
    ("raw", "kind", "parameters"),
    [
        (b" text/plain; charset=us-ascii (Plain text)", "text/plain", {"charset": "us-ascii"}),  # RFC 2045 §5.1
        (b' Text/HTML; Charset="utf-8"', "text/html", {"charset": "utf-8"}),
        (  # RFC 2231 §3
            b' message/external-body; access-type=URL;\r\n URL*0="ftp://";\r\n URL*1="cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"',
            "message/external-body",
            {"access-type": "URL", "url": "ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"},
        ),
        (  # RFC 2231 §4.1
            b" application/x-stuff\r\n ; title*0*=us-ascii'en'This%20is%20even%20more%20\r\n ; title*1*=%2A%2A%2Afun%2A%2A%2A%20\r\n ; title*2=\"isn't it!\"",
            "application/x-stuff",
            {"title": "This is even more ***fun*** isn't it!"},
        ),
        (b" text", None, {}),
        (b"", None, {}),
        (b" text/plain charset=utf-8", "text/plain", {}),
        (b' multipart/mixed\r\n boundary="abc"', "multipart/mixed", {"boundary": "abc"}),
        (b' multipart/mixed; boundary="a\\"b"', "multipart/mixed", {"boundary": 'a"b'}),
        (b' multipart/mixed; boundary="abc', "multipart/mixed", {"boundary": "abc"}),
        (b" image/png; name=two words.png; x=1", "image/png", {"name": "two words.png", "x": "1"}),
        (b" image/png;;; name = a.png ;", "image/png", {"name": "a.png"}),
        (b" image/png; name=a; NAME=b", "image/png", {"name": "a"}),
    ],
)  # fmt: skip
def test_content_types(raw: bytes, kind: str | None, parameters: dict[str, str]) -> None:
    assert parse_content_type(raw) == (kind, parameters)


def test_dispositions() -> None:
    # RFC 2183 §3
    assert parse_disposition(
        b' attachment; filename=genome.jpeg;\r\n modification-date="Wed, 12 Feb 1997 16:29:51 -0500"'
    ) == (
        "attachment",
        {"filename": "genome.jpeg", "modification-date": "Wed, 12 Feb 1997 16:29:51 -0500"},
    )
    assert parse_disposition(b" ;filename=x") == (None, {"filename": "x"})
    assert parse_disposition(b" filename=x") == (None, {})


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\r\n",
        b"\0",
        b"\xff" * 10,
        b"no header at all",
        b"Content-Type: multipart/mixed\r\n\r\ntext without boundary",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\nnever comes",
        b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n\r\nx',
        b"Content-Type: multipart/mixed; boundary=b",
    ],
)
def test_a_message_without_parts_is_shown_as_text(blob: bytes) -> None:
    root = scan(blob)
    assert (root.type, root.parts, root.part_id, root.body_end) == ("text/plain", [], "1", len(blob))


def test_an_unterminated_multipart_ends_with_the_blob() -> None:
    blob = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>x"
    assert body(blob, scan(blob).parts[0]) == b"<p>x"


def test_a_delimiter_ends_a_header_without_blank_line() -> None:
    blob = b"Content-Type: multipart/mixed; boundary=b\n--b\nContent-Type: text/html\n--b\n\nx\n--b--\n"
    root = scan(blob)
    assert [(p.type, body(blob, p)) for p in root.parts] == [("text/html", b""), ("text/plain", b"x")]


def test_an_outer_delimiter_ends_inner_multiparts() -> None:
    blob = (
        b"Content-Type: multipart/mixed; boundary=outer\n\n--outer\nContent-Type: multipart/mixed; boundary=inner\n\n"
        b"--inner\n\none\n--outer\n\ntwo\n--inner\nstill two\n--outer--\nepilogue\n--outer\nnot a part"
    )
    root = scan(blob)
    assert [p.type for p in root.parts] == ["multipart/mixed", "text/plain"]
    assert body(blob, root.parts[0].parts[0]) == b"one"
    assert body(blob, root.parts[1]) == b"two\n--inner\nstill two"


def test_blanks_behind_a_delimiter_and_longer_words() -> None:
    blob = b"Content-Type: multipart/mixed; boundary=b\n\n--b \t\n\none\n--bb\n--b-\n--b-- \t\nrest"
    assert [body(blob, p) for p in scan(blob).parts] == [b"one\n--bb\n--b-"]


def test_depth_and_count_are_limited() -> None:
    deep = b"".join([b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(500)])
    depth = 0
    part = scan(deep + b"\nx")
    while part.parts:
        part = part.parts[0]
        depth += 1
    assert depth == MAX_DEPTH - 1
    assert (part.type, part.body_end) == ("application/octet-stream", len(deep) + 2)
    nested = scan(b"Content-Type: message/rfc822\n\n" * 500 + b"Subject: x\n\nx")
    assert len(walk(nested)) == MAX_DEPTH
    wide = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 5000
    assert len(walk(scan(wide))) == MAX_PARTS


@dataclass
class Tree:
    """A message to be built: children, or the octets of a leaf."""

    content: bytes = b""
    encoding: str | None = None
    children: list[Tree] = field(default_factory=list)
    inner: bool = False


# A leaf that ends in CR is not told apart from one before a delimiter line that begins with CRLF (RFC 2046 §5.1.1).
LEAVES = st.builds(
    Tree,
    st.binary(max_size=30).map(lambda b: b.replace(b"-", b".").rstrip(b"\r"))
    | st.sampled_from([b"", b"\n", b"a\nb\n\n", b"x: y\n"]),
    st.sampled_from([None, "base64", "quoted-printable"]),
)
TREES = st.recursive(
    LEAVES,
    lambda children: (
        st.builds(Tree, children=st.lists(children, min_size=1, max_size=4))
        | st.builds(Tree, children=st.tuples(children).map(list), inner=st.just(value=True))
    ),
    max_leaves=12,
)


def build(tree: Tree, eol: bytes, counter: list[int]) -> bytes:
    """Write a tree as a MIME entity."""
    if tree.inner:
        return b"Content-Type: message/rfc822" + eol + eol + build(tree.children[0], eol, counter)
    if tree.children:
        counter[0] += 1
        boundary = b"=_%d" % counter[0]
        out = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"' + eol + eol + b"preamble" + eol
        for child in tree.children:
            out += b"--" + boundary + eol + build(child, eol, counter) + eol
        return out + b"--" + boundary + b"--" + eol + b"epilogue"
    header = b"Content-Type: application/x-leaf" + eol
    content = tree.content
    if tree.encoding:
        header += b"Content-Transfer-Encoding: " + tree.encoding.encode() + eol
        content = (
            base64.b64encode(content) if tree.encoding == "base64" else quopri.encodestring(content, quotetabs=True)
        )
    return header + eol + content


def check(blob: bytes, part: Part, tree: Tree) -> None:
    """Compare a scanned part with the tree that it was built from."""
    if tree.inner:
        assert part.type == "message/rfc822" and not part.parts
        assert part.message is not None
        check(blob, part.message, tree.children[0])
    elif tree.children:
        assert part.is_multipart and len(part.parts) == len(tree.children)
        for child, expected in zip(part.parts, tree.children, strict=True):
            check(blob, child, expected)
    else:
        assert part.type == "application/x-leaf"
        assert part_content(blob, part) == tree.content
        assert part.size == len(tree.content)


@given(TREES, st.sampled_from([b"\n", b"\r\n"]))
def test_a_tree_that_is_built_is_found_again(tree: Tree, eol: bytes) -> None:
    blob = b"Subject: x" + eol + build(tree, eol, [0])
    check(blob, scan(blob), tree)


MIMEISH = st.lists(
    st.sampled_from(
        [
            b"Content-Type: multipart/mixed; boundary=a\n", b"Content-Type: multipart/digest; boundary=b\r\n", b"\n", b"\r\n",
            b"--a\n", b"--a--\n", b"--b\r\n", b"--b--", b"\n--a", b"Content-Type: message/rfc822\n", b"Content-Type: text/html\n",
            b"Content-Transfer-Encoding: base64\n", b"Content-Transfer-Encoding: quoted-printable\n", b"aGk=", b"=\n", b"x", b"\0",
            b"Content-Type: multipart/mixed; boundary=ab\n", b"--ab\n", b"Subject: x\n", b"\xff", b" ", b"--", b"-",
        ]
    ),
    max_size=40,
).map(b"".join)  # fmt: skip


@given(MIMEISH | st.binary(max_size=200))
@example(b"Content-Type: multipart/mixed; boundary=a\n--a\n--a--")
def test_any_octets_have_a_sound_structure(blob: bytes) -> None:
    root = scan(blob)
    assert (root.header_start, root.body_end) == (0, len(blob))
    for part in walk(root):
        assert 0 <= part.header_start <= part.body_start <= part.body_end <= len(blob)
        before = part.body_start
        for child in part.parts:
            assert before <= child.header_start and child.body_end <= part.body_end
            before = child.body_end
        assert part.is_multipart == bool(part.parts)
        assert (part.part_id is None) == part.is_multipart
        if part.message is not None:
            assert part.message.header_start == part.body_start and part.message.body_end == part.body_end
        if not part.is_multipart:
            assert part.size == len(part_content(blob, part))
            assert isinstance(part_text(blob, part)[0], str)
    ids = [part.part_id for part in walk(root) if part.part_id]
    assert len(ids) == len(set(ids))


@given(MIMEISH, st.integers(0, 2))
@example(b"Content-Type: multipart/mixed; boundary=a\n\n--a" + b" " * 600 + b"\n--a\n\nx", 0)
def test_the_pattern_finds_what_the_lines_say(blob: bytes, patience: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mime, "_PATIENCE", patience)
        impatient = scan(blob)
    assert impatient == scan(blob)


def test_a_mapped_file_gives_the_same_structure() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(RFC2046)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert scan(mapped) == scan(RFC2046)


@given(st.binary(max_size=100))
def test_base64_comes_back_however_it_is_mangled(data: bytes) -> None:
    encoded = base64.encodebytes(data)
    assert decode_base64(encoded) == (data, False)
    assert decode_base64(encoded.rstrip(b"=\n"))[0] == data
    assert decode_base64(b"!".join([encoded[i : i + 1] for i in range(len(encoded))]).replace(b"!\n", b"\n"))[0] == data
    assert decode_base64(encoded + encoded)[0] == data + data


@given(st.binary(max_size=200), st.sampled_from(["base64", "quoted-printable", "x-uuencode", "7bit", "x-odd", None]))
def test_no_encoding_raises(data: bytes, encoding: str | None) -> None:
    assert isinstance(decode_transfer(data, encoding)[0], bytes)


@given(st.binary(max_size=200))
def test_uuencoded_files_come_back(data: bytes) -> None:
    lines = [binascii.b2a_uu(data[i : i + 45]) for i in range(0, len(data), 45)]
    assert decode_uu(b"hello\nbegin 644 file.bin\n" + b"".join(lines) + b"`\nend\n") == (data, False)


def test_quoted_printable() -> None:
    # RFC 2045 §6.7
    folded = b"Now's the time =\r\nfor all folk to come=\r\n to the aid of their country."
    assert (
        decode_transfer(folded, "quoted-printable")[0]
        == b"Now's the time for all folk to come to the aid of their country."
    )
    assert decode_transfer(b"a=ZZb=3D=", "quoted-printable")[0] == b"a=ZZb=="[:-1]


@pytest.mark.parametrize(
    ("data", "charset", "text", "wrong"),
    [
        (b"caf\xc3\xa9", "utf-8", "caf\u00e9", False),
        (b"caf\xe9", "utf-8", "caf\ufffd", True),
        (b"\x93x\x94", "iso-8859-1", "\u201cx\u201d", False),
        (b"\x93x\x94", "ISO_8859-1:1987", "\u201cx\u201d", False),
        (b"caf\xc3\xa9", "us-ascii", "caf\u00e9", False),
        (b"caf\xe9", "us-ascii", "caf\u00e9", True),
        (b"caf\xe9", "unknown-8bit", "caf\u00e9", True),
        (b"caf\xe9", "no-such-charset", "caf\u00e9", True),
        (b"x", "no-such-charset", "x", True),
        (b"caf\xe9", None, "caf\u00e9", True),
        (b"\xa4\xa2", "x-euc-jp", "\u3042", False),
        (b'\x1b$B$"\x1b(B', "iso-2022-jp", "\u3042", False),
        (b"\x82\xa0", "Shift_JIS", "\u3042", False),
        (b"\xc4\xe3\xba\xc3", "gb2312", "\u4f60\u597d", False),
        (b"\xb0\xa1", "ks_c_5601-1987", "\uac00", False),
        (b"\xcc", "koi8-r", "\u043b", False),
        (b"+AOk-", "utf-7", "\u00e9", False),
        (b"+2AA-", "utf-7", "\ufffd", True),
        (b"abc", "punycode", "abc", True),
        (b"\\x41", "unicode_escape", "\\x41", True),
        (b"x", "rot13", "x", True),
    ],
)
def test_charsets(data: bytes, charset: str | None, text: str, wrong: bool) -> None:
    assert decode(data, charset) == (text, wrong)


@given(
    st.binary(max_size=60),
    st.text(max_size=12)
    | st.sampled_from(
        [
            "utf-16",
            "utf-7",
            "utf-8-sig",
            "utf-16-le",
            "utf-32-be",
            "iso-2022-kr",
            "hz",
            "utf-32",
            "big5",
            "idna",
            "mbcs",
        ]
    ),
)
def test_no_charset_raises(data: bytes, charset: str) -> None:
    assert decode(data, charset)[0].encode("utf-8") is not None
