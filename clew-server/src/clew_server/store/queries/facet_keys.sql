-- Keys of attributes, by their newest names, of the spans of some traces, with how many different values they have, up to one too many.
SELECT k, uniqUpTo(MOST_VALUES)(v) AS different FROM
 (SELECT arrayJoin(arrayMap((k,v)->(NEWEST_NAME,v),
  arrayFilter((k,t)->t IN CATEGORIES,mapKeys(attrs),attr_types),arrayFilter((v,t)->t IN CATEGORIES,mapValues(attrs),attr_types))) AS z, z.1 AS k, z.2 AS v
  FROM spans WHERE SPAN_WINDOW AND start!=FRAGMENT AND SPANS_OF_MEMBERS)
GROUP BY k HAVING different<=MOST_VALUES LIMIT {limit:UInt64}
