"""URIs as they may be shown."""

import re

CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@(?=[^@]*$)|(?<=://)[^/?#]*@")
SECRET_QUERY = re.compile(r"(?i)([?&][^=&]*(?:password|secret|token|key|credential)[^=&]*=)[^&]*")


def redact(uri: str) -> str:
    """The URI as it may be shown: without user, password and whatever in its query sounds secret."""
    return SECRET_QUERY.sub(r"\1***", CREDENTIALS.sub("***@", uri))
