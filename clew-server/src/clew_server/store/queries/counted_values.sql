-- Values of an attribute with their types, how many of the spans that were kept have them, and for how many spans these stand; those that are too long to
-- be suggested under the type 255. Of each set of keys, by quarters of an hour that hold a time (one of every so many), some spans were kept (schema step 21).
-- CHOSEN: the texts of each. PLACE: where the key stands among the set's. Each stands for its share of the spans with the set, the more the less likely it
-- was that any was kept. A text that holds the separator cannot be told from two, and its span is left out.
-- No lambdas and few levels: the engine takes longest to plan them.
SELECT if(length(text)>1024,'',text) AS v, if(length(text)>1024,255,type) AS t, count() AS seen, sum(stands_for) AS n FROM
 (SELECT PLACE AS place, attr_types[place] AS type, finalizeAggregation(`count()`) AS counted, counted/PARTS/(1-pow(31/32,counted)) AS stands_for,
   length(attr_types)+1 AS parts, splitByChar(char(31),arrayJoin([CHOSEN])) AS texts, texts[place] AS text
  FROM mergeTreeProjection(currentDatabase(), spans, key_sets)
  WHERE `toStartOfFifteenMinutes(start)` BETWEEN toDateTime({from_s:Int64},'UTC') AND toDateTime({to_s:Int64},'UTC') AND intDiv(toUnixTimestamp(`toStartOfFifteenMinutes(start)`),900)%{every:UInt32}=0 AND SERVICE_CONDITIONS AND HAS_KEY AND length(texts)=parts)
GROUP BY v, t
