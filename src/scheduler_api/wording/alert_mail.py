"""Messages as e-mail."""

import html

from scheduler_api.wording.alerts import Entry, Message

_PAGE = """\
<!doctype html>
<html lang="en"><body style="font: 15px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 40rem">
<h1 style="font-size: 18px">{title}</h1>
{entries}{more}
</body></html>
"""
_ENTRY = """\
<div style="border-left: 4px solid {color}; padding-left: 12px; margin: 16px 0">
{heading}{lines}
<p style="margin: 4px 0"><a href="{url}">View</a>{acknowledge}</p>
</div>
"""
_GREEN, _RED = "#27864a", "#c0392b"


def as_text(message: Message) -> str:
    """The message as plain text."""
    return f"{message.title}\n\n{message.text}\n"


def as_html(message: Message) -> str:
    """The message as HTML, with nothing in it that is loaded from elsewhere."""
    entries = "".join(_entry(entry, titled=len(message.entries) > 1) for entry in message.entries)
    more = ""
    if message.more:
        more = f'<p><a href="{html.escape(message.url)}">And {message.more:,} more</a></p>'
    return _PAGE.format(title=html.escape(message.title), entries=entries, more=more)


def _entry(entry: Entry, *, titled: bool) -> str:
    lines = "".join(f'<p style="margin: 4px 0">{html.escape(line)}</p>\n' for line in entry.lines)
    heading = f'<p style="margin: 4px 0"><b>{html.escape(entry.title)}</b></p>\n' if titled else ""
    acknowledge = ""
    if entry.issueurl is not None:
        acknowledge = f' · <a href="{html.escape(entry.issueurl)}">Acknowledge</a>'
    return _ENTRY.format(
        color=_GREEN if entry.is_good else _RED,
        heading=heading,
        lines=lines,
        url=html.escape(entry.url),
        acknowledge=acknowledge,
    )
