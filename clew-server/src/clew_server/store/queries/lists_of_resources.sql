-- The different lists that resources have under some keys, as they are stored.
SELECT DISTINCT arrayJoin(arrayFilter((v,k,t)->t=42 AND KEY_CONDITION,mapValues(attrs),mapKeys(attrs),attr_types)) AS v
FROM resources WHERE has(attr_types,42) LIMIT {limit:UInt64}
