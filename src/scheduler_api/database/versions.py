"""Which schema this code is for, and how it learns that it may write no more."""

#: The number of the newest migration that this code knows.
VERSION = 11
#: Every transaction that writes holds this advisory lock, shared; a migration holds it alone. So none of old
#: code is in progress when the new schema begins to hold. Any number that no other user of the same database
#: takes; spells "jobwrit".
WRITERS_KEY = 0x6A6F6277726974
