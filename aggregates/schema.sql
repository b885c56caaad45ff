-- The read model of one dashboard replica. Times: epoch seconds (bucket start) unless the name ends in _ms.
-- Rows of a level are mergeable partials: appended, merged on read, rewritten as one when their bucket is sealed.

CREATE TABLE meta (name VARCHAR NOT NULL, value VARCHAR NOT NULL);

-- How far each partition of `events` is counted in: the row with the greatest next_offset holds. It is written in the
-- transaction of the rows it stands for; older ones are cleared away when a minute is sealed.
CREATE TABLE sources (
    topic_id     VARCHAR NOT NULL,
    partition    INTEGER NOT NULL,
    next_offset  BIGINT  NOT NULL,
    crc          BIGINT  NOT NULL,      -- CRC-32C of the record before next_offset
    record_ms    BIGINT  NOT NULL,      -- its append time
    history_from BIGINT  NOT NULL       -- first offset ever counted in
);

-- How far each partition of `rollups` is read, where to go on: the newest row (by `number`) of a partition holds.
CREATE TABLE inputs (
    number      BIGINT  NOT NULL,       -- counts transactions
    topic_id    VARCHAR NOT NULL,
    partition   INTEGER NOT NULL,
    next_offset BIGINT  NOT NULL,
    crc         BIGINT  NOT NULL
);

CREATE TABLE series (
    series_id  INTEGER NOT NULL,
    key        UBIGINT NOT NULL,
    metric     VARCHAR NOT NULL,
    kind       VARCHAR NOT NULL,
    unit       VARCHAR,
    dimensions VARCHAR NOT NULL         -- JSON object, names sorted
);

-- Groups a series is counted in, beside its own: one row per (metric, kind, view, labels).
-- view '' is the total; 'country' or 'country,product' a dimension set. labels stand in the view's order.
CREATE TABLE groups (
    group_id INTEGER NOT NULL,
    metric   VARCHAR NOT NULL,
    kind     VARCHAR NOT NULL,
    view     VARCHAR NOT NULL,
    labels   VARCHAR[] NOT NULL
);

CREATE TABLE series_groups (series_id INTEGER NOT NULL, group_id INTEGER NOT NULL);

-- One row. A minute below sealed_until stands in the 1-minute tables; one at or above it in the 1-second tables alone.
-- Seconds below seconds_from are no longer kept.
CREATE TABLE levels (sealed_until BIGINT NOT NULL, seconds_from BIGINT NOT NULL);

-- Records of `events` that could not be read, with the reason.
CREATE TABLE undecodable (
    topic_id  VARCHAR NOT NULL,
    partition INTEGER NOT NULL,
    record    BIGINT  NOT NULL,
    record_ms BIGINT  NOT NULL,
    reason    VARCHAR NOT NULL
);

-- Three families per level, so that a tile reads few rows: totals (group = a metric's total), views (declared
-- dimension sets) and every single series ("all together"; id is a series_id there, a group_id elsewhere).
-- last is the value of the newest event by (last_time: event time in ms, last_place: partition << 48 | source offset).
CREATE TABLE total_1s (
    id INTEGER NOT NULL, time BIGINT NOT NULL, count BIGINT NOT NULL, duplicates BIGINT NOT NULL,
    sum DOUBLE, min DOUBLE, max DOUBLE, last DOUBLE, last_time BIGINT, last_place BIGINT
);
CREATE TABLE view_1s AS FROM total_1s;
CREATE TABLE series_1s AS FROM total_1s;
CREATE TABLE total_1m AS FROM total_1s;
CREATE TABLE view_1m AS FROM total_1s;
CREATE TABLE series_1m AS FROM total_1s;
