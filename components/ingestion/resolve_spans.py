"""Which spans to read now."""

from __future__ import annotations

from mainspring.components.ingestion.spans import find_spans, fingerprint_files, in_words, select_spans


def resolve_spans(source: str, span: str, window: int) -> tuple[str, str]:
    """Returns the chosen spans as a selection such as `1-6`, and the fingerprint of their files.

    Args:
        source: A file, a folder, or a pattern with `{SPAN}`.
        span: `latest`, a number, a range, a list or `all`.
        window: With `latest` or a number: that span and the ones before it, this many in all.

    Raises:
        UserError: Nothing matches, or the selection names what is not there.
    """
    chosen = select_spans(find_spans(source), span, window)
    print(f"spans {in_words(chosen)} of {source}: {sum(len(span.files) for span in chosen)} files", flush=True)
    return in_words(chosen), fingerprint_files(chosen)
