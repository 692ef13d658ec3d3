"""What is wrong with an object: damaged or missing, always naming the object, and the chunk or piece where known."""

from __future__ import annotations

from bot.errors import Corruption


class ObjectDamaged(Corruption):
    """An object's bytes are not what was written under that path.

    Attributes:
        path: the object.
        what: is wrong, a clause.
        chunk: the envelope's chunk (1 MiB of content each, counted from 0), or None.
        piece: the piece of the volume (2 MiB of input each, counted from 0), or None.
    """

    code = "object-damaged"

    def __init__(self, path: str, what: str, *, chunk: int | None = None, piece: int | None = None) -> None:
        place = "".join(f", {word} {n}" for word, n in (("chunk", chunk), ("piece", piece)) if n is not None)
        super().__init__(
            f"The object {path}{place} is damaged: {what}.",
            hint="Is there another repository or a later backup? Keep this object for inspection and run `pitstop list`.",
        )
        self.path = path
        self.what = what
        self.chunk = chunk
        self.piece = piece


class ObjectMissing(Corruption):
    """An object that should be there is not."""

    code = "object-missing"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"The object {path} is missing from the repository.",
            hint="Was it deleted by hand or by a lifecycle rule? Use another repository or backup.",
        )
        self.path = path
