-- Which keys spans have, counted by the quarter of an hour, so that completion knows all of them without looking at spans: a sample misses what only
-- some operations have. Spans have few sets of keys, and few resources send them: 256 of these at most are kept for a set. Of the values those of four
-- spans are kept, each chosen by chance from a thirty-second of them: a sample of `spans` is of whole blocks, which are sorted by service and operation, and
-- so are most values. Of few spans with a set hardly any are kept, and so this takes an eighth of the texts at most.
-- A projection is a part of the part, as in step 18; one alone, since each costs every question in each part. Parts from before have none, and where one of
-- them has spans of the time, a sample is looked at as before.
ALTER TABLE spans ADD PROJECTION IF NOT EXISTS key_sets (SELECT toStartOfFifteenMinutes(start), service, mapKeys(attrs), attr_types,
 KEYS_OF_EACH(event_attrs), KEYS_OF_EACH(link_attrs), mapKeys(scope_attrs), count(), groupUniqArray(256)(res_key), ONE_OF(0), ONE_OF(1), ONE_OF(2), ONE_OF(3)
 GROUP BY toStartOfFifteenMinutes(start), service, mapKeys(attrs), attr_types, KEYS_OF_EACH(event_attrs), KEYS_OF_EACH(link_attrs), mapKeys(scope_attrs));
