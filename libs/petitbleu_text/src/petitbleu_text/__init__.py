"""Search of text: words, stems, keyed terms, queries, matching and snippets. No input or output."""
