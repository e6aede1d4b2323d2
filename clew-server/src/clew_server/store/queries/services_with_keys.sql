-- Services with spans that have one of some keys, in the quarters of an hour that hold a time (one of every so many). KEYS: the column with the keys of
-- a place. LISTED: an array of keys. Reads what schema step 21 counted, not the spans.
SELECT service, countMerge(`count()`) AS n FROM mergeTreeProjection(currentDatabase(), spans, key_sets)
WHERE `toStartOfFifteenMinutes(start)` BETWEEN toDateTime({from_s:Int64},'UTC') AND toDateTime({to_s:Int64},'UTC') AND intDiv(toUnixTimestamp(`toStartOfFifteenMinutes(start)`),900)%{every:UInt32}=0 AND hasAny(KEYS,LISTED)
GROUP BY service ORDER BY n DESC LIMIT {limit:UInt64}
