"""Which parts of a message are its text, and which are attachments (RFC 8621 §4.1.4)."""

from __future__ import annotations

import msgspec

from petitbleu_mail.mime import Part

_INLINE_MEDIA = ("image/", "audio/", "video/")


class BodyLists(msgspec.Struct):
    """The three lists of RFC 8621 §4.1.4; parts are those of the tree, not copies."""

    text_body: list[Part]
    html_body: list[Part]
    attachments: list[Part]


def body_lists(root: Part) -> BodyLists:
    """Sort the parts into textBody, htmlBody and attachments by the algorithm of RFC 8621 §4.1.4."""
    lists = BodyLists([], [], [])
    _sort([root], "mixed", lists.attachments, lists.html_body, lists.text_body, in_alternative=False)
    return lists


def _sort(
    parts: list[Part],
    multipart_type: str,
    attachments: list[Part],
    html_body: list[Part] | None,
    text_body: list[Part] | None,
    *,
    in_alternative: bool,
) -> None:
    """Do `parseStructure` of RFC 8621 §4.1.4, in its own order, with its own names."""
    text_length = len(text_body) if text_body is not None else -1
    html_length = len(html_body) if html_body is not None else -1
    for index, part in enumerate(parts):
        if part.is_multipart:
            subtype = part.type[10:]
            alternative = in_alternative or subtype == "alternative"
            _sort(part.parts, subtype, attachments, html_body, text_body, in_alternative=alternative)
        elif not _is_inline(part, index, multipart_type):
            attachments.append(part)
        elif multipart_type == "alternative":
            target = {"text/plain": text_body, "text/html": html_body}.get(part.type, attachments)
            if target is not None:
                target.append(part)
        else:
            if in_alternative:
                html_body = None if part.type == "text/plain" else html_body
                text_body = None if part.type == "text/html" else text_body
            _show(part, attachments, html_body, text_body)
    if multipart_type == "alternative" and text_body is not None and html_body is not None:
        only_html = text_length == len(text_body) and html_length != len(html_body)
        only_text = html_length == len(html_body) and text_length != len(text_body)
        if only_html:
            text_body.extend(html_body[html_length:])
        elif only_text:
            html_body.extend(text_body[text_length:])


def _is_inline(part: Part, index: int, multipart_type: str) -> bool:
    """Whether a part is shown with the body rather than listed as an attachment."""
    media = part.type.startswith(_INLINE_MEDIA)
    return (
        part.disposition != "attachment"
        and (media or part.type in {"text/plain", "text/html"})
        # in a multipart/related only the first part; a text with a file name only as the first of its multipart
        and (index == 0 or (multipart_type != "related" and (media or not part.name)))
    )


def _show(part: Part, attachments: list[Part], html_body: list[Part] | None, text_body: list[Part] | None) -> None:
    if text_body is not None:
        text_body.append(part)
    if html_body is not None:
        html_body.append(part)
    if (text_body is None or html_body is None) and part.type.startswith(_INLINE_MEDIA):
        attachments.append(part)
