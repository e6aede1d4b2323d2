-- Values of attributes with their types, how many of the spans that were kept have them, and for how many spans these stand. Of each set of keys, by quarters
-- of an hour that hold a time (one of every so many), some spans were kept (schema step 21). CHOSEN: the texts of each. PLACES: where the keys stand among
-- the set's, and the types of their values. VALUES_AT: an array of (text, type), 0 where there is none. Under the type 255 all.
-- Each stands for its share of the spans with the set, the more the less likely it was that any was kept. A text that holds the separator cannot be told from two, and its span is left out. No lambdas: they take the engine longest to plan.
SELECT z.1 AS v, z.2 AS t, count() AS seen, sum(stands_for) AS n FROM
 (SELECT stands_for, splitByChar(char(31),texts) AS parts, arrayJoin(arrayDistinct([('',toUInt8(255)),VALUES_AT])) AS z FROM
   (SELECT PLACES, [CHOSEN] AS chosen, finalizeAggregation(`count()`) AS counted, counted/length(chosen)/(1-pow(31/32,counted)) AS stands_for, length(attr_types) AS keys, arrayJoin(chosen) AS texts
    FROM mergeTreeProjection(currentDatabase(), spans, key_sets)
    WHERE `toStartOfFifteenMinutes(start)` BETWEEN toDateTime({from_s:Int64},'UTC') AND toDateTime({to_s:Int64},'UTC') AND intDiv(toUnixTimestamp(`toStartOfFifteenMinutes(start)`),900)%{every:UInt32}=0 AND SERVICE_CONDITIONS AND HAS_KEY)
  WHERE countSubstrings(texts,char(31))=keys)
WHERE t=255 OR (t>0 AND length(v)<=1024 AND VALUE_CONDITIONS) GROUP BY z ORDER BY t=255 DESC, BEGINS DESC, n DESC, v LIMIT {limit:UInt64}
