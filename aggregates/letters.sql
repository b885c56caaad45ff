-- What a replica keeps of the topics `rejected` and `journal`. All of it is made from the log again when it is lost.

-- How far each partition of a followed topic is read; written in the transaction of the rows it stands for.
CREATE TABLE followed (
    topic       VARCHAR NOT NULL,
    topic_id    VARCHAR NOT NULL,
    partition   INTEGER NOT NULL,
    next_offset BIGINT  NOT NULL,
    crc         BIGINT  NOT NULL,       -- CRC-32C of the record before next_offset
    record_ms   BIGINT  NOT NULL        -- its append time
);

-- Dead letters, without what was sent. A letter's id is request_id/place.
CREATE TABLE letters (
    number     BIGINT  NOT NULL,        -- order of arrival in this file
    request_id VARCHAR NOT NULL,
    place      INTEGER NOT NULL,        -- of the event in its request
    time_ms    BIGINT  NOT NULL,        -- arrival at ingest
    record_ms  BIGINT  NOT NULL,        -- append time of the record
    reason     VARCHAR NOT NULL,
    field      VARCHAR,
    message    VARCHAR NOT NULL,
    metric     VARCHAR,
    event_id   VARCHAR,
    key        VARCHAR,
    protocol   VARCHAR NOT NULL,
    form       VARCHAR NOT NULL,        -- event (JSON), text or base64: what the original is
    cut        BOOLEAN NOT NULL,
    size       BIGINT  NOT NULL,        -- bytes of the original
    root       VARCHAR NOT NULL,        -- the letter it goes back to: its own id, unless it came from a replay
    topic_id   VARCHAR NOT NULL,
    partition  INTEGER NOT NULL,
    record     BIGINT  NOT NULL
);

-- What was sent, by `letters.number`. Filled one after the other and emptied whole, the oldest first: rows deleted one
-- by one would keep their place in the file.
CREATE TABLE originals_0 (number BIGINT NOT NULL, original VARCHAR NOT NULL);
CREATE TABLE originals_1 AS FROM originals_0;
CREATE TABLE originals_2 AS FROM originals_0;
CREATE TABLE originals_3 AS FROM originals_0;

-- Letters that are counted, but no longer listed, because there are too many.
CREATE TABLE letter_counts (
    hour     BIGINT  NOT NULL,          -- start of the hour of arrival, epoch milliseconds
    reason   VARCHAR NOT NULL,
    metric   VARCHAR,                   -- null too where no event of the metric was ever counted
    key      VARCHAR,
    replayed BOOLEAN NOT NULL,
    count    BIGINT  NOT NULL
);

-- Every entry of the journal, in its order. Entries that cannot be read have the type `unreadable`.
CREATE TABLE journal (
    number    BIGINT  NOT NULL,         -- order in the journal
    topic_id  VARCHAR NOT NULL,
    record    BIGINT  NOT NULL,
    record_ms BIGINT  NOT NULL,
    type      VARCHAR NOT NULL,
    body      VARCHAR NOT NULL          -- JSON
);

-- Replays, made from the journal: a row for each letter of a claim and of a result.
CREATE TABLE replays (
    number    BIGINT  NOT NULL,         -- of the journal's entry
    record_ms BIGINT  NOT NULL,
    replay    VARCHAR NOT NULL,
    root      VARCHAR NOT NULL,
    letter    VARCHAR NOT NULL,
    edits     VARCHAR,                  -- of a claim: digest of its edits
    force     BOOLEAN NOT NULL,
    outcome   VARCHAR                   -- of a result; null: a claim
);
