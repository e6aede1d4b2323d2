-- The newest traces, and those that start in a short time, are found by their start without looking at all of a day: `traces` is sorted by id. A
-- projection is a part of the part, written and merged with it, so it cannot say anything else than the rows do. Parts from before stay without one,
-- are read as before, and are merged among themselves only. Rows of one trace that are merged have one start, so merges make it anew.
ALTER TABLE traces MODIFY SETTING deduplicate_merge_projection_mode='rebuild';
ALTER TABLE traces ADD PROJECTION IF NOT EXISTS by_start (SELECT trace_id, start ORDER BY start);
