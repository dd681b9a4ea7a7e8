"""Records and figures made into self-contained HTML: pages that open offline and send no request."""
