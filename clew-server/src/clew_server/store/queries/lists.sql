-- The different lists that spans or resources have under some keys, as they are stored. VALUES_OF_ROW, KEYS_OF_ROW, TYPES_OF_ROW: arrays beside each other; HAS_LIST: whether a row has a list.
SELECT DISTINCT arrayJoin(arrayFilter((v,k,t)->t=42 AND KEY_CONDITION,VALUES_OF_ROW,KEYS_OF_ROW,TYPES_OF_ROW)) AS v
FROM TABLE_NAME WHERE HAS_LIST=1 LIMIT {limit:UInt64}
