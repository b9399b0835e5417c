"""Checks who made the entries of a log: each against the known authors, and which may follow on which."""

from dataclasses import dataclass

from shared.domain.evidence.authors import Authors, NotAuthorizedError
from shared.domain.evidence.manifest_head import ManifestHead, read_entry


@dataclass(slots=True)
class LogAuthors:
    """Checks entries in any order, and counts them: signed manifests, manifests of version 1, entries of other kinds.

    `signed_from` is the index from which entries are signed, if it is known: no entry of version 1 follows on it.
    """

    authors: Authors
    signed_from: int | None = None
    signed: int = 0
    unsigned: int = 0
    others: int = 0
    last_unsigned: int = -1

    def check(self, index: int, entry: bytes) -> ManifestHead | None:
        """The head in an entry, made by charging or of version 1; None for an entry of a kind that is not known here.

        Raises `NotAuthorizedError` where its author is not charging, `Refused` where it is no entry at all.
        """
        head = read_entry(entry)
        if head is None:
            self.others += 1
            return None
        if head.authorship is None:
            self.unsigned += 1
            self.last_unsigned = max(self.last_unsigned, index)
        else:
            self.authors.of_head(head, is_new=False)
            self.signed += 1
            self.signed_from = index if self.signed_from is None else min(index, self.signed_from)
        if self.signed_from is not None and self.last_unsigned > self.signed_from:
            reason = f"entry {self.last_unsigned} is not signed, and entries from {self.signed_from} on are"
            raise NotAuthorizedError("unsigned", f"the author of {head.name} is not proved: {reason}")
        return head

    @property
    def sentence(self) -> str:
        """The proof of the authors in words, for a person."""
        parts = []
        if self.signed:
            parts.append(f"Charging made {self.signed} of these manifests: its keys have signed them.")
        if self.unsigned:
            parts.append(f"Author not proved of {self.unsigned} manifests: their entries are of version 1, unsigned.")
        if self.others:
            parts.append(f"{self.others} entries of other kinds are included; what they say was not checked.")
        return " ".join(parts)
