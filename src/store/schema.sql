-- Generations, from their acceptance on. Times are milliseconds since 1970.
CREATE TABLE generations (
    id TEXT PRIMARY KEY,
    -- The name of the API key, and the SHA-256 of the client's token.
    owner_key TEXT,
    owner_token TEXT,
    model TEXT NOT NULL,
    -- The fields of the request as JSON, seed included.
    request TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('accepted', 'completed', 'failed', 'canceled')),
    -- Whether it is drawn after a restart, and how many processes have begun to draw it.
    resumable INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL,
    started INTEGER,
    ended INTEGER,
    detail TEXT,
    -- The file of its events.
    events TEXT,
    -- Sizes of its rows and files, the number of its pictures, and that of the favourites among them.
    bytes INTEGER NOT NULL DEFAULT 0,
    pictures INTEGER NOT NULL DEFAULT 0,
    favourites INTEGER NOT NULL DEFAULT 0,
    -- SHA-256 of the client and its Idempotency-Key, and of the body.
    idempotency_key BLOB UNIQUE,
    body_hash BLOB
) STRICT;
CREATE INDEX generations_by_owner ON generations (owner_key, owner_token, created);
CREATE INDEX generations_by_file ON generations (events);
CREATE INDEX accepted_generations ON generations (created) WHERE status = 'accepted';
CREATE INDEX sizes_of_generations ON generations (pictures, bytes);
-- What retention looks at.
CREATE INDEX removable_generations ON generations (ended, pictures, bytes)
    WHERE favourites = 0 AND status <> 'accepted';

-- Finished pictures, numbered in the order in which they were stored.
CREATE TABLE pictures (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    generation TEXT NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
    image INTEGER NOT NULL,
    -- Whose gallery it is in: the API key's or the token's.
    owner TEXT,
    model TEXT NOT NULL,
    class TEXT NOT NULL,
    style TEXT,
    -- The prompt, or the subject.
    words TEXT,
    seed INTEGER NOT NULL,
    created INTEGER NOT NULL,
    favourite INTEGER NOT NULL DEFAULT 0,
    -- When it was deleted; until it is removed, that can be undone.
    deleted INTEGER,
    file TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    UNIQUE (generation, image)
) STRICT;
CREATE INDEX pictures_by_owner ON pictures (owner, number) WHERE deleted IS NULL;
CREATE INDEX pictures_by_model ON pictures (owner, model, number) WHERE deleted IS NULL;
CREATE INDEX pictures_by_class ON pictures (owner, class, number) WHERE deleted IS NULL;
CREATE INDEX pictures_by_style ON pictures (owner, style, number) WHERE deleted IS NULL;
CREATE INDEX pictures_by_date ON pictures (owner, created) WHERE deleted IS NULL;
CREATE INDEX favourites ON pictures (owner, number) WHERE favourite = 1 AND deleted IS NULL;
CREATE INDEX deleted_pictures ON pictures (deleted) WHERE deleted IS NOT NULL;
CREATE INDEX pictures_by_file ON pictures (file);

-- What search finds: words, class, style and model, and the owner as a word of its own, so that others' pictures cost nothing.
CREATE VIRTUAL TABLE picture_text USING fts5 (
    owner, text, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2'
);
CREATE TRIGGER removed_text AFTER DELETE ON pictures BEGIN
    DELETE FROM picture_text WHERE rowid = old.number;
END;
