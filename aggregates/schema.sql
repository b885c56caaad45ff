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

-- One row per level: 1s, 1m, 15m, 1d. Buckets that end at or before sealed_until are complete in the level (of 1s: up to
-- where its rows are merged; they are there from the moment they are applied). Buckets that start before kept_from are
-- gone. Restatements known at or before folded_until have become baseline.
CREATE TABLE levels (
    level        VARCHAR NOT NULL,
    sealed_until BIGINT  NOT NULL,
    kept_from    BIGINT  NOT NULL,
    folded_until BIGINT  NOT NULL
);

-- From when on buckets of a metric are kept that has a retention of its own, by level: for it this holds instead of
-- kept_from of `levels`.
CREATE TABLE metric_levels (metric VARCHAR NOT NULL, level VARCHAR NOT NULL, kept_from BIGINT NOT NULL);

-- Views that were filled later: before this their bins and codes of seconds stand by whole minutes, and the view does not
-- answer.
CREATE TABLE filled_views (metric VARCHAR NOT NULL, view VARCHAR NOT NULL, seconds_from BIGINT NOT NULL);

-- Sealed buckets to be merged once more, because of rows that came without being late (imported history, mostly).
CREATE TABLE touched (level VARCHAR NOT NULL, time BIGINT NOT NULL, noted BIGINT NOT NULL);  -- noted: sealed_until of 1m

-- Events by metric and minute of their record's append time, as partials. accepted is what records say they hold;
-- applied and duplicates are what was counted. Old minutes are added up to quarters of an hour.
CREATE TABLE ledger (
    metric     VARCHAR NOT NULL,
    minute     BIGINT  NOT NULL,
    accepted   BIGINT  NOT NULL,
    applied    BIGINT  NOT NULL,
    duplicates BIGINT  NOT NULL
);

-- Source records that a person gave up, because the log no longer holds them.
CREATE TABLE lost (
    topic_id     VARCHAR NOT NULL,
    partition    INTEGER NOT NULL,
    first_offset BIGINT  NOT NULL,
    next_offset  BIGINT  NOT NULL,
    noted_ms     BIGINT  NOT NULL
);

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
-- time is the bucket's start; of a day the start of the local day. known is 0 for the baseline; a row that came later
-- than the grace after its bucket's end is a restatement: then it is the time at which it was known, less the grace,
-- rounded up to a minute, of 15m and 1d to a quarter of an hour.
-- last is the value of the newest event by (last_time: event time in ms, last_place: partition << 48 | source offset).
CREATE TABLE total_1s (
    id INTEGER NOT NULL, time BIGINT NOT NULL, known BIGINT NOT NULL, count BIGINT NOT NULL,
    duplicates BIGINT NOT NULL, sum DOUBLE, min DOUBLE, max DOUBLE, last DOUBLE, last_time BIGINT, last_place BIGINT
);
CREATE TABLE total_1m AS FROM total_1s;
CREATE TABLE total_15m AS FROM total_1s;
CREATE TABLE total_1d AS FROM total_1s;
CREATE TABLE view_1s AS FROM total_1s;
CREATE TABLE view_1m AS FROM total_1s;
CREATE TABLE view_15m AS FROM total_1s;
CREATE TABLE view_1d AS FROM total_1s;
CREATE TABLE series_1s AS FROM total_1s;
CREATE TABLE series_1m AS FROM total_1s;
CREATE TABLE series_15m AS FROM total_1s;
CREATE TABLE series_1d AS FROM total_1s;

-- Distributions: events by bin (the codes of `aggregates.sketches`). Those of single series begin with minutes: their
-- newest minutes stand in series_bins_1m from the moment they are applied.
CREATE TABLE total_bins_1s (
    id INTEGER NOT NULL, time BIGINT NOT NULL, known BIGINT NOT NULL, bin SMALLINT NOT NULL, n BIGINT NOT NULL
);
CREATE TABLE total_bins_1m AS FROM total_bins_1s;
CREATE TABLE total_bins_15m AS FROM total_bins_1s;
CREATE TABLE total_bins_1d AS FROM total_bins_1s;
CREATE TABLE view_bins_1s AS FROM total_bins_1s;
CREATE TABLE view_bins_1m AS FROM total_bins_1s;
CREATE TABLE view_bins_15m AS FROM total_bins_1s;
CREATE TABLE view_bins_1d AS FROM total_bins_1s;
CREATE TABLE series_bins_1m AS FROM total_bins_1s;
CREATE TABLE series_bins_15m AS FROM total_bins_1s;
CREATE TABLE series_bins_1d AS FROM total_bins_1s;

-- Uniques: a set of codes, hashes or cells (of `aggregates.sketches`). Single series as above.
CREATE TABLE total_cells_1s (id INTEGER NOT NULL, time BIGINT NOT NULL, known BIGINT NOT NULL, code UBIGINT NOT NULL);
CREATE TABLE total_cells_1m AS FROM total_cells_1s;
CREATE TABLE total_cells_15m AS FROM total_cells_1s;
CREATE TABLE total_cells_1d AS FROM total_cells_1s;
CREATE TABLE view_cells_1s AS FROM total_cells_1s;
CREATE TABLE view_cells_1m AS FROM total_cells_1s;
CREATE TABLE view_cells_15m AS FROM total_cells_1s;
CREATE TABLE view_cells_1d AS FROM total_cells_1s;
CREATE TABLE series_cells_1m AS FROM total_cells_1s;
CREATE TABLE series_cells_15m AS FROM total_cells_1s;
CREATE TABLE series_cells_1d AS FROM total_cells_1s;
