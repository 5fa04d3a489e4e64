"""What venue ingestors share, so that a venue's own file holds only its URLs, its messages and their meaning.

``venue`` is the way in: fill in a ``Venue`` and call ``run``. ``docs/adding-a-venue.md`` is the guide. The journey of
a message: ``live`` or ``replay`` receives it -> the venue's ``Mapper`` turns it into ``outputs`` -> ``pipeline`` counts
and encodes them -> ``lines`` writes them to standard output.

``exits``, ``lines`` and ``stopping`` use the standard library only, so that they serve any ingestor.
"""
