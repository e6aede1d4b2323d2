-- The different lists that spans or resources have under some keys, as they are stored.
SELECT DISTINCT arrayJoin(arrayFilter((v,k,t)->t=42 AND KEY_CONDITION,mapValues(attrs),mapKeys(attrs),attr_types)) AS v
FROM TABLE_NAME WHERE has(attr_types,42)=1 LIMIT {limit:UInt64}
