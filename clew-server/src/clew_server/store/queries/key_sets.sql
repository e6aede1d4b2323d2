-- The sets of keys that spans have together (attributes with the types of their values, events, links, scope), which resources sent
-- such spans, and how many have just these, by the quarters of an hour that hold a time (one of every so many). Reads what schema step 21 counted, not the spans.
SELECT `mapKeys(attrs)` AS ks, attr_types AS ts, `arrayDistinct(arrayFlatten(arrayMap(lambda(tuple(m), mapKeys(m)), event_attrs)))` AS es,
 `arrayDistinct(arrayFlatten(arrayMap(lambda(tuple(m), mapKeys(m)), link_attrs)))` AS ls, `mapKeys(scope_attrs)` AS ss,
 groupUniqArrayMerge(256)(`groupUniqArray(256)(res_key)`) AS rs, countMerge(`count()`) AS n
FROM mergeTreeProjection(currentDatabase(), spans, key_sets)
WHERE `toStartOfFifteenMinutes(start)` BETWEEN toDateTime({from_s:Int64},'UTC') AND toDateTime({to_s:Int64},'UTC') AND intDiv(toUnixTimestamp(`toStartOfFifteenMinutes(start)`),900)%{every:UInt32}=0 AND SERVICE_CONDITIONS
GROUP BY ks, ts, es, ls, ss ORDER BY n DESC LIMIT {limit:UInt64}
