-- The sets of keys that spans have together (attributes with the types of their values, events, links, scope), which resources sent such spans, and how
-- many have just these, by the quarters of an hour that hold a time (one of every so many). KEYS_OF_…: the column with the keys of a place. Reads what
-- schema step 21 counted, not the spans.
SELECT KEYS_OF_SPAN AS ks, attr_types AS ts, KEYS_OF_EVENT AS es, KEYS_OF_LINK AS ls, KEYS_OF_SCOPE AS ss,
 groupUniqArrayMerge(256)(`groupUniqArray(256)(res_key)`) AS rs, countMerge(`count()`) AS n
FROM mergeTreeProjection(currentDatabase(), spans, key_sets)
WHERE `toStartOfFifteenMinutes(start)` BETWEEN toDateTime({from_s:Int64},'UTC') AND toDateTime({to_s:Int64},'UTC') AND intDiv(toUnixTimestamp(`toStartOfFifteenMinutes(start)`),900)%{every:UInt32}=0 AND SERVICE_CONDITIONS
GROUP BY ks, ts, es, ls, ss ORDER BY n DESC LIMIT {limit:UInt64}
